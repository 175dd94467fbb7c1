"""SD-BNN's networks in PyTorch, with the names of the authors' state dicts, for `convert.load_torch_checkpoint`.

On a GPU the 3×3 convolutions after the first are computed in bfloat16. It holds the ±1 of binary networks exactly; in
float networks it rounds both operands. Everything before a sign is float32.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def with_derivative_of(surrogate, x):
    """The sign of x, +1 at 0, with the derivative of `surrogate`, whose difference from itself is exactly 0.

    A custom autograd function would do the same, but PyTorch 2.11 compiles some without their gradient, silently
    (https://github.com/pytorch/pytorch/issues/180642).
    """
    sign = torch.where(x >= 0, 1.0, -1.0).to(x.dtype)
    return sign + (surrogate - surrogate.detach())


def ede_sign(x, k, t):
    """Error decay estimator: the derivative k·t·(1 − tanh²(t·x)); k and t are tensors, which a compiled graph reads."""
    return with_derivative_of(k * torch.tanh(t * x), x)


def approx_sign(x):
    """Bi-Real Net's: the derivative 2 − 2·|x| where that is positive."""
    inside = x.clamp(-1, 1)
    return with_derivative_of(2 * inside - inside * inside.abs(), x)


def ste_sign(x):
    """Straight through where |x| ≤ 1."""
    return with_derivative_of(x.clamp(-1, 1), x)


def product(x, kernel, stride):
    """The 3×3 convolution, in bfloat16 on a GPU; gradients come back in float32."""
    if x.is_cuda:
        return F.conv2d(x.bfloat16(), kernel.bfloat16(), None, stride, 1).float()
    return F.conv2d(x, kernel, None, stride, 1)


class Shift(nn.Module):
    """Activation Self-Distribution's, of each channel."""

    def __init__(self, channels, reduction):
        super().__init__()
        hidden = channels // reduction
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        shift = self.fc(x.mean((2, 3))).clamp(max=1 - 2**-24)  # as `ActivationSelfDistribution`'s `LARGEST_SHIFT`
        return shift[:, :, None, None]


class CifarConv(nn.Module):
    """Self-distribution convolution of the CIFAR-10 networks; a plain one without the binary option."""

    def __init__(self, channels, filters, stride, binary, shifts):
        super().__init__()
        self.stride, self.binary = stride, binary
        self.weight = nn.Parameter(torch.empty(filters, channels, 3, 3))
        self.alpha = nn.Parameter(torch.zeros(filters)) if "weight" in shifts else None
        self.dybeta = Shift(channels, 16) if "activation" in shifts else None
        if binary:
            self.register_buffer("k", torch.tensor(1.0), persistent=False)
            self.register_buffer("t", torch.tensor(1.0), persistent=False)

    def forward(self, x):
        if not self.binary:
            return product(x, self.weight, self.stride)
        kernel = ede_sign(with_weight_shift(self.weight, self.alpha), self.k, self.t)
        return product(ede_sign(with_shift(x, self.dybeta), self.k, self.t), kernel, self.stride)


class ImageNetConv(nn.Module):
    """Self-distribution convolution of the ImageNet networks, whose kernel is one column."""

    def __init__(self, channels, filters, stride, binary, shifts):
        super().__init__()
        self.shape, self.stride, self.binary = (filters, channels, 3, 3), stride, binary
        self.weights = nn.Parameter(torch.empty(filters * channels * 9, 1))
        self.alpha = nn.Parameter(torch.zeros(filters)) if "weight" in shifts else None
        self.beta = Shift(channels, 8) if "activation" in shifts else None

    def forward(self, x):
        kernel = self.weights.view(self.shape)
        if not self.binary:
            return product(x, kernel, self.stride)
        kernel = ste_sign(with_weight_shift(kernel, self.alpha))
        return product(approx_sign(with_shift(x, self.beta)), kernel, self.stride)


def with_shift(x, shift):
    """Activation Self-Distribution, if there is any."""
    return x if shift is None else x + shift(x)


def with_weight_shift(kernel, alpha):
    """Weight Self-Distribution, if there is any."""
    if alpha is None:
        return kernel
    mean = kernel.mean((1, 2, 3), keepdim=True).detach()
    return kernel + torch.sigmoid(alpha)[:, None, None, None] * 0.01 * mean


class BiRealBlock(nn.Module):
    def __init__(self, channels, filters, stride, conv):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = conv(filters, filters, 1), nn.BatchNorm2d(filters)
        self.pad = filters // 4 if stride == 2 else 0
        self.activation = nn.Hardtanh()

    def forward(self, x):
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else x
        x = self.activation(self.bn1(self.conv1(x)) + shortcut)
        return self.activation(self.bn2(self.conv2(x)) + x)


class BasicBlock(nn.Module):
    def __init__(self, channels, filters, stride, conv):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = conv(filters, filters, 1), nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        self.activation = nn.Hardtanh()
        if stride == 2:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, 2, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        y = self.activation(self.bn1(self.conv1(x)))
        return self.activation(self.bn2(self.conv2(y)) + self.shortcut(x))


class ImageNetBlock(nn.Module):
    def __init__(self, channels, filters, stride, conv):
        super().__init__()
        self.binary_conv, self.bn1 = conv(channels, filters, stride), nn.BatchNorm2d(filters)
        self.prelu = nn.PReLU(filters)
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(channels, filters, 1, bias=False),
                nn.BatchNorm2d(filters),
            )

    def forward(self, x):
        shortcut = self.downsample(x) if self.downsample else x
        return self.prelu(self.bn1(self.binary_conv(x)) + shortcut)


class ResNet(nn.Module):
    """Stem, stages and global pooling of all residual networks."""

    def __init__(self, stem, block, widths, depths, conv):
        super().__init__()
        self.conv1, self.bn1 = stem, nn.BatchNorm2d(widths[0])
        channels = widths[0]
        for stage, (filters, depth) in enumerate(zip(widths, depths), 1):
            blocks = []
            for i in range(depth):
                blocks.append(block(channels, filters, 2 if stage > 1 and i == 0 else 1, conv))
                channels = filters
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.stages = len(widths)

    def features(self, x):
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean((2, 3))


class CifarResNet(ResNet):
    def __init__(self, block, widths, depth, conv, classes):
        stem = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        super().__init__(stem, block, widths, [depth] * len(widths), conv)
        self.bn2, self.linear = nn.BatchNorm1d(widths[-1]), nn.Linear(widths[-1], classes)
        self.activation = nn.Hardtanh()

    def forward(self, x):
        return self.linear(self.bn2(self.features(self.activation(self.bn1(self.conv1(x))))))


class ImageNetResNet(ResNet):
    def __init__(self, depths, conv, classes):
        stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        super().__init__(stem, ImageNetBlock, (64, 128, 256, 512), depths, conv)
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        return self.fc(self.features(F.max_pool2d(self.bn1(self.conv1(x)), 3, 2, 1)))


class VGGSmall(nn.Module):
    def __init__(self, conv, classes):
        super().__init__()
        self.conv0, self.bn0 = nn.Conv2d(3, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128)
        channels = 128
        for i, filters in enumerate((128, 256, 256, 512, 512), 1):
            self.add_module(f"conv{i}", conv(channels, filters, 1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(filters))
            channels = filters
        self.fc = nn.Linear(8192, classes)
        self.activation = nn.Hardtanh()

    def forward(self, x):
        x = self.activation(self.bn0(self.conv0(x)))
        for i in range(1, 6):
            x = getattr(self, f"conv{i}")(x)
            if i in (1, 3, 5):
                x = F.max_pool2d(x, 2)
            x = self.activation(getattr(self, f"bn{i}")(x))
        return self.fc(x.flatten(1))


NETWORKS = {
    "ResNet20": lambda conv, classes: CifarResNet(BiRealBlock, (16, 32, 64), 3, conv, classes),
    "CifarResNet18": lambda conv, classes: CifarResNet(BasicBlock, (64, 128, 256, 512), 2, conv, classes),
    "VGGSmall": VGGSmall,
    "ResNet18": lambda conv, classes: ImageNetResNet((4, 4, 4, 4), conv, classes),
    "ResNet34": lambda conv, classes: ImageNetResNet((6, 8, 12, 6), conv, classes),
}
PHOTOGRAPH_NETWORKS = ("ResNet18", "ResNet34")


SHIFTS = {"both": ("activation", "weight"), "activation": ("activation",), "weight": ("weight",), "none": ()}


def build(name, *, binary=True, classes=10, self_distribution="both", relu=False):
    """The network of that name in the zoo, or its float twin; `initialize` gives it values.

    # Arguments
        relu: in place of the hard tanh, for a float teacher; the zoo has no such network.
    """
    if relu and (binary or name in PHOTOGRAPH_NETWORKS):
        raise ValueError(f"ReLU must be for a float network that has a hard tanh. Received: {name}, binary={binary}.")
    kind = ImageNetConv if name in PHOTOGRAPH_NETWORKS else CifarConv
    shifts = SHIFTS[self_distribution] if binary else ()
    net = NETWORKS[name](lambda *shape: kind(*shape, binary, shifts), classes)
    for module in net.modules():
        if relu and hasattr(module, "activation"):
            module.activation = nn.ReLU()
    return net


@torch.no_grad()
def initialize(net, branch_gamma=1.0):
    """The authors' initial values; the float twin of an ImageNet network has He's in place of 0 to 0.001.

    # Arguments
        branch_gamma: initial γ of the batch normalisations before a sum.
    """
    vgg = isinstance(net, VGGSmall)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.reset_parameters()
        elif isinstance(module, nn.PReLU):
            module.weight.fill_(0.25)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            if isinstance(net, ImageNetResNet) or (vgg and module is not net.fc and isinstance(module, nn.Linear)):
                module.reset_parameters()
            elif vgg and module is net.fc:
                nn.init.normal_(module.weight, 0, 0.01)
            elif vgg:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            else:
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.Linear) and module.bias is not None and not isinstance(net, ImageNetResNet):
                nn.init.zeros_(module.bias)
        elif isinstance(module, CifarConv):
            nn.init.kaiming_normal_(module.weight, mode="fan_out" if vgg else "fan_in")
        elif isinstance(module, ImageNetConv) and module.binary:
            module.weights.uniform_(0, 1e-3)
        elif isinstance(module, ImageNetConv):
            module.weights.normal_(0, math.sqrt(2 / (9 * module.shape[1])))
        if getattr(module, "alpha", None) is not None:
            module.alpha.zero_()
    for module in net.modules():
        if isinstance(module, BiRealBlock):
            module.bn1.weight.fill_(branch_gamma)
        if isinstance(module, (BiRealBlock, BasicBlock)):
            module.bn2.weight.fill_(branch_gamma)
        if isinstance(module, ImageNetBlock):
            module.bn1.weight.fill_(branch_gamma)
    return net


def set_sharpness(net, k, t):
    """Of the error decay estimator, in all layers that have it; whether any has."""
    found = [module for module in net.modules() if hasattr(module, "t") and hasattr(module, "k")]
    for module in found:
        module.k.fill_(k)
        module.t.fill_(t)
    return bool(found)
