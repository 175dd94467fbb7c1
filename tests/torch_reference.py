"""The authors' five networks in PyTorch, with the names of their state dicts; written after the specification."""

import numpy as np
import torch
import torch.nn.functional as F
from golden_rule import draw
from torch import nn


class Sign(torch.autograd.Function):
    """+1 at 0, the derivative given by the caller."""

    @staticmethod
    def forward(context, x, derivative):
        context.save_for_backward(x)
        context.derivative = derivative
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(context, dy):
        (x,) = context.saved_tensors
        return context.derivative(x) * dy, None


def approx_sign(x):
    return (2 - 2 * x.abs()).clamp(min=0)


def straight_through(x):
    return (x.abs() <= 1).to(x.dtype)


class EDE:
    def __init__(self, k, t):
        self.k, self.t = k, t

    def __call__(self, x):
        return self.k * self.t * (1 - torch.tanh(self.t * x) ** 2)


class Shift(nn.Module):
    def __init__(self, channels, reduction):
        super().__init__()
        hidden = channels // reduction
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x):
        return self.fc(x.mean((2, 3)))[:, :, None, None]


class SDConv(nn.Module):
    """Self-distribution convolution; `derivatives` are those of the activations' and of the weights' sign."""

    def __init__(self, channels, filters, stride, derivatives, binary_weights, reduction=16, imagenet=False):
        super().__init__()
        self.shape, self.stride = (filters, channels, 3, 3), stride
        self.derivatives, self.binary_weights = derivatives, binary_weights
        self.kernel, self.shift = ("weights", "beta") if imagenet else ("weight", "dybeta")
        shape = (filters * channels * 9, 1) if imagenet else self.shape
        self.register_parameter(self.kernel, nn.Parameter(torch.zeros(shape)))
        if binary_weights:
            self.alpha = nn.Parameter(torch.zeros(filters))
        self.add_module(self.shift, Shift(channels, reduction))

    def forward(self, x):
        w = getattr(self, self.kernel).view(self.shape)
        if self.binary_weights:
            mean = w.mean((1, 2, 3), keepdim=True).detach()
            w = Sign.apply(w + torch.sigmoid(self.alpha).view(-1, 1, 1, 1) * 0.01 * mean, self.derivatives[1])
        a = Sign.apply(x + getattr(self, self.shift)(x), self.derivatives[0])
        return F.conv2d(a, w, None, self.stride, 1)


class BiRealBlock(nn.Module):
    def __init__(self, channels, filters, stride, conv):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = conv(filters, filters, 1), nn.BatchNorm2d(filters)
        self.pad = filters // 4 if stride == 2 else 0

    def forward(self, x):
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else x
        x = F.hardtanh(self.bn1(self.conv1(x)) + shortcut)
        return F.hardtanh(self.bn2(self.conv2(x)) + x)


class BasicBlock(nn.Module):
    def __init__(self, channels, filters, stride, conv):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = conv(filters, filters, 1), nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        if stride == 2:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, 2, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        y = F.hardtanh(self.bn1(self.conv1(x)))
        return F.hardtanh(self.bn2(self.conv2(y)) + self.shortcut(x))


class ImageNetBlock(nn.Module):
    def __init__(self, channels, filters, stride, conv):
        super().__init__()
        self.binary_conv, self.bn1 = conv(channels, filters, stride), nn.BatchNorm2d(filters)
        self.prelu = nn.PReLU(filters)
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(2), nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters)
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
    def __init__(self, block, widths, depth, conv):
        stem = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        super().__init__(stem, block, widths, [depth] * len(widths), conv)
        self.bn2, self.linear = nn.BatchNorm1d(widths[-1]), nn.Linear(widths[-1], 10)

    def forward(self, x):
        return self.linear(self.bn2(self.features(F.hardtanh(self.bn1(self.conv1(x))))))


class ImageNetResNet(ResNet):
    def __init__(self, depths, conv):
        stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        super().__init__(stem, ImageNetBlock, (64, 128, 256, 512), depths, conv)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        return self.fc(self.features(F.max_pool2d(self.bn1(self.conv1(x)), 3, 2, 1)))


class TorchvisionBlock(nn.Module):
    def __init__(self, channels, filters, stride, conv):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, filters, stride), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = conv(filters, filters, 1), nn.BatchNorm2d(filters)
        self.downsample = None
        if stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(channels, filters, 1, 2, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class TorchvisionResNet34(ResNet):
    """The teacher."""

    def __init__(self):
        def conv(channels, filters, stride):
            return nn.Conv2d(channels, filters, 3, stride, 1, bias=False)

        stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        super().__init__(stem, TorchvisionBlock, (64, 128, 256, 512), (3, 4, 6, 3), conv)
        self.fc = nn.Linear(512, 1000)

    def forward(self, x):
        return self.fc(self.features(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)))


class VGGSmall(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv0, self.bn0 = nn.Conv2d(3, 128, 3, padding=1, bias=False), nn.BatchNorm2d(128)
        channels = 128
        for i, filters in enumerate((128, 256, 256, 512, 512), 1):
            self.add_module(f"conv{i}", conv(channels, filters, 1))
            self.add_module(f"bn{i}", nn.BatchNorm2d(filters))
            channels = filters
        self.fc = nn.Linear(8192, 10)

    def forward(self, x):
        x = F.hardtanh(self.bn0(self.conv0(x)))
        for i in range(1, 6):
            x = getattr(self, f"conv{i}")(x)
            if i in (1, 3, 5):
                x = F.max_pool2d(x, 2)
            x = F.hardtanh(getattr(self, f"bn{i}")(x))
        return self.fc(x.flatten(1))


def torch_model(name: str, binary_weights: bool = True, k: float = 1.0, t: float = 1.0) -> nn.Module:
    """The network of that name in the zoo, in evaluation mode, filled by the golden rule.

    # Arguments
        name: as `zoo.get_model` takes it.
        binary_weights: `False` for binary activations with float weights, without α.
        k, t: of the error decay estimator; unused by the ImageNet networks.
    """

    def conv(channels, filters, stride):
        return SDConv(channels, filters, stride, (EDE(k, t), EDE(k, t)), binary_weights)

    def imagenet_conv(channels, filters, stride):
        return SDConv(channels, filters, stride, (approx_sign, straight_through), binary_weights, 8, True)

    makers = {
        "VGGSmall": lambda: VGGSmall(conv),
        "ResNet20": lambda: CifarResNet(BiRealBlock, (16, 32, 64), 3, conv),
        "CifarResNet18": lambda: CifarResNet(BasicBlock, (64, 128, 256, 512), 2, conv),
        "ResNet18": lambda: ImageNetResNet((4, 4, 4, 4), imagenet_conv),
        "ResNet34": lambda: ImageNetResNet((6, 8, 12, 6), imagenet_conv),
        "FloatResNet34": TorchvisionResNet34,
    }
    model = makers[name]()
    drawn = {key: torch.from_numpy(np.array(draw(key, tuple(v.shape)))) for key, v in model.state_dict().items()}
    model.load_state_dict(drawn)
    return model.eval()
