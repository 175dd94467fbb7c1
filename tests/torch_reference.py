"""The authors' five networks in PyTorch, with the names of their state dicts; written after the specification.

How layers are joined is the PyTorch trainer's, the self-distribution convolution is this module's own.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from golden_rule import draw
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent / "training/gpu"))
from networks import NETWORKS, PHOTOGRAPH_NETWORKS, ResNet


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

    if name == "FloatResNet34":
        model = TorchvisionResNet34()
    elif name in PHOTOGRAPH_NETWORKS:
        model = NETWORKS[name](imagenet_conv, 1000)
    else:
        model = NETWORKS[name](conv, 10)
    drawn = {key: torch.from_numpy(np.array(draw(key, tuple(v.shape)))) for key, v in model.state_dict().items()}
    model.load_state_dict(drawn)
    return model.eval()
