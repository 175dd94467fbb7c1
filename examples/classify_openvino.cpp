// Classifies one image with an exported network.
//
//   sdbnn export ResNet20/cifar10 --to openvino --uint8 --output resnet20.xml
//   g++ -std=c++17 classify_openvino.cpp -o classify -I$OV/include -L$OV/libs -l:libopenvino.so.2641 -Wl,-rpath,$OV/libs
//   ./classify resnet20.xml image.raw
//
// OV is the folder of the Python package `openvino`, which holds headers and libraries; its version ends the library's
// name. The image is a file of bytes: pixel by pixel, row by row, red, green, blue.

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include <openvino/openvino.hpp>

int main(int argc, char** argv) {
    if (argc != 3) {
        std::cerr << "usage: classify NETWORK.xml IMAGE.raw\n";
        return 2;
    }
    ov::Core core;
    auto network = core.compile_model(argv[1], "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = network.create_infer_request();
    ov::Tensor image = request.get_input_tensor();
    std::ifstream file(argv[2], std::ios::binary);
    std::vector<char> pixels{std::istreambuf_iterator<char>(file), {}};
    if (image.get_element_type() != ov::element::u8 || pixels.size() != image.get_byte_size()) {
        std::cerr << "IMAGE.raw must have the " << image.get_byte_size() << " bytes of " << image.get_shape()
                  << " pixels, and the network take uint8. Received: " << pixels.size() << " bytes.\n";
        return 2;
    }
    std::copy(pixels.begin(), pixels.end(), static_cast<char*>(image.data()));
    request.infer();
    const ov::Tensor output = request.get_output_tensor();
    const float* probabilities = output.data<const float>();
    const auto best = std::max_element(probabilities, probabilities + output.get_size());
    std::cout << best - probabilities << " " << *best << "\n";
}
