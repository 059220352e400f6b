# SPDX-License-Identifier: BSD-3-Clause
"""Exports an image model of tauLDR (Campbell et al. 2022; andrew-cr/tauLDR, GaussianTargetRateImageX0PredEMA).

    python export_tauldr.py --checkpoint ckpt_0001999999.pt --out tauldr

A U-Net over ordered states (grey levels) with time in [0, 1] and logits of the clean token, of which the site's own token
is one of the inputs (leave-in). Sites are the image in the order channel, row, column. Rates: GaussianTargetRate.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

import common


def group_norm(channels):
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=1e-6)


class PixelLinear(nn.Module):
    """A linear map of the channels."""

    def __init__(self, inner, outer):
        super().__init__()
        self.W = nn.Parameter(torch.empty(inner, outer))
        self.b = nn.Parameter(torch.empty(outer))

    def forward(self, x):
        return torch.einsum("bihw,io->bohw", x, self.W) + self.b[:, None, None]


class Attention(nn.Module):
    def __init__(self, channels, rescale):
        super().__init__()
        self.rescale = rescale
        self.GroupNorm_0 = group_norm(channels)
        for i in range(4):
            setattr(self, f"NIN_{i}", PixelLinear(channels, channels))

    def forward(self, x):
        h = self.GroupNorm_0(x)
        q, k, v = (part(h).flatten(2).transpose(1, 2) for part in (self.NIN_0, self.NIN_1, self.NIN_2))  # [batch, pixels, channels]
        mixed = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(x.shape[1]), -1) @ v
        return self.rescale * (x + self.NIN_3(mixed.transpose(1, 2).reshape(x.shape)))


class Residual(nn.Module):
    def __init__(self, inner, outer, time_width, rescale):
        super().__init__()
        self.rescale = rescale
        self.groupnorm0 = group_norm(inner)
        self.conv0 = nn.Conv2d(inner, outer, 3, padding=1)
        self.dense0 = nn.Linear(time_width, outer)
        self.groupnorm1 = group_norm(outer)
        self.conv1 = nn.Conv2d(outer, outer, 3, padding=1)
        if inner != outer:
            self.nin = PixelLinear(inner, outer)

    def forward(self, x, about):
        h = self.conv0(F.silu(self.groupnorm0(x))) + self.dense0(F.silu(about))[:, :, None, None]
        h = self.conv1(F.silu(self.groupnorm1(h)))
        return self.rescale * ((self.nin(x) if hasattr(self, "nin") else x) + h)


class Down(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3))


class UNet(nn.Module):
    def __init__(self, args, width, image_channels):
        super().__init__()
        rescale = 1.0 if args.no_rescale else math.sqrt(0.5)
        time_width = 4 * width
        widths = [width * m for m in args.multipliers]
        self.levels = args.levels
        self.time_scale = args.time_scale
        self.temb_modules = nn.ModuleList([nn.Linear(width, time_width), nn.Linear(time_width, time_width)])
        self.input_conv = nn.Conv2d(image_channels, width, 3, padding=1)
        channels, kept, down, up = width, [width], [], []
        for scale, outer in enumerate(widths):
            for _ in range(args.blocks):
                down.append(Residual(channels, outer, time_width, rescale))
                channels = outer
                kept.append(channels)
                if scale == args.attention_scale:
                    down.append(Attention(channels, rescale))
            if scale + 1 < len(widths):
                down.append(Down(channels))
                kept.append(channels)
        middle = [Residual(channels, channels, time_width, rescale), Attention(channels, rescale),
                  Residual(channels, channels, time_width, rescale)]
        for scale, outer in reversed(list(enumerate(widths))):
            for _ in range(args.blocks + 1):
                up.append(Residual(channels + kept.pop(), outer, time_width, rescale))
                channels = outer
                if scale == args.attention_scale:
                    up.append(Attention(channels, rescale))
            if scale > 0:
                up.append(Up(channels))
        self.downsampling_modules = nn.ModuleList(down)
        self.middle_modules = nn.ModuleList(middle)
        self.upsampling_modules = nn.ModuleList(up)
        self.output_modules = nn.ModuleList([group_norm(channels), nn.Conv2d(channels, 2 * image_channels, 3, padding=1)])

    def embed(self, time):
        half = self.temb_modules[0].in_features // 2
        frequencies = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half, dtype=torch.float32, device=time.device))
        angles = (time * self.time_scale)[:, None] * frequencies
        x = torch.cat([torch.sin(angles), torch.cos(angles)], 1)
        return self.temb_modules[1](F.silu(self.temb_modules[0](x)))

    def forward(self, image, time):
        centred = 2 * image / (self.levels - 1) - 1
        about = self.embed(time)
        h = self.input_conv(centred)
        kept = [h]
        for module in self.downsampling_modules:
            h = module(h, about) if isinstance(module, Residual) else module(h)
            if isinstance(module, Attention):
                kept[-1] = h  # it follows a residual block, whose output is not kept itself
            else:
                kept.append(h)
        for module in self.middle_modules:
            h = module(h, about) if isinstance(module, Residual) else module(h)
        for module in self.upsampling_modules:
            h = module(torch.cat([h, kept.pop()], 1), about) if isinstance(module, Residual) else module(h)
        h = self.output_modules[1](F.silu(self.output_modules[0](h)))
        location, log_scale = h.chunk(2, 1)
        return torch.tanh(centred + location), log_scale


class TauLdr(nn.Module):
    """Logits of a logistic distribution cut off at the ends (Austin et al. 2021, appendix)."""

    def __init__(self, args, width, image_channels):
        super().__init__()
        self.net = UNet(args, width, image_channels)
        self.image = [image_channels, args.height, args.width]
        self.fixed = args.fix_logistic

    def forward(self, tokens, time):
        location, log_scale = self.net(tokens.view([tokens.shape[0]] + self.image).float(), time)
        location, log_scale = location.double(), log_scale.double()  # differences of nearly equal numbers follow
        location, sharpness = location.flatten(1)[..., None], torch.exp(2 - log_scale).flatten(1)[..., None]
        states = self.net.levels
        centres = torch.linspace(-1 + 1 / states, 1 - 1 / states, states, device=tokens.device,
                                 dtype=torch.float64)
        left, right = (centres - 1 / states - location) * sharpness, (centres + 1 / states - location) * sharpness

        def log_difference(a, b):
            return a + torch.log1p(1e-6 - torch.exp(b - a))

        logits = log_difference(F.logsigmoid(right), F.logsigmoid(left))
        if self.fixed:
            logits = torch.minimum(logits, log_difference(F.logsigmoid(left) - left, F.logsigmoid(right) - right))
        return logits.float()


def network(weights, args):
    width, image_channels = common.shape_of(weights, "net.input_conv.weight")[:2]
    return common.load(TauLdr(args, width, image_channels), weights)


def weights_of(checkpoint, args):
    content = checkpoint.get("model", checkpoint)
    shadow = content.get("ema_shadow_params")
    weights = {name.replace("net.module.", "net.", 1): value for name, value in content.items() if not name.startswith("ema_")}
    return common.averaged(weights, shadow) if shadow is not None and not args.raw else weights


def main(argv):
    p = common.parser(__doc__.split("\n")[0], None)
    p.add_argument("--height", type=int, default=32)
    p.add_argument("--width", type=int, default=32)
    p.add_argument("--levels", type=int, default=256, help="states of a pixel (%(default)s)")
    p.add_argument("--multipliers", type=lambda text: [int(m) for m in text.split(",")], default=[1, 2, 2, 2],
                   help="width of each scale in units of the first (1,2,2,2)")
    p.add_argument("--blocks", type=int, default=2, help="residual blocks a scale (%(default)s)")
    p.add_argument("--attention-scale", type=int, default=1, help="scale with attention, from 0 (%(default)s)")
    p.add_argument("--time-scale", type=float, default=1000)
    p.add_argument("--no-rescale", action="store_true", help="of a network without skip_rescale")
    p.add_argument("--fix-logistic", action="store_true")
    p.add_argument("--rate-sigma", default="6")
    p.add_argument("--target-sigma", default="512", help="Q_sigma of the rates (%(default)s)")
    p.add_argument("--noise", default="exponential:base=100,scale=3", help="time_exponential and time_base (%(default)s)")
    args = p.parse_args(argv)
    model = network(weights_of(common.read_checkpoint(args.checkpoint), args), args)
    args.length = math.prod(model.image)
    common.save(args, model, lambda rows, length: (torch.randint(args.levels, (rows, length)), torch.rand(rows)), {
        "network": {"output": "x0_logits_leave_in", "time": "time", "columns": args.levels},
        "tokens": {"tokenizer": "numbers", "states": args.levels},
        "length": args.length,
        "mask": False,
        "generator": f"gaussian_target:states={args.levels},rate_sigma={args.rate_sigma},target_sigma={args.target_sigma}",
        "noise": args.noise,
        "about": {"from": "tauLDR", "image": model.image},
    })


if __name__ == "__main__":
    common.run(main)
