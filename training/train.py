"""Train the recogniser of the ML queue from scratch, measure it, and write it where the package looks for it.

Everything follows from `--seed` and `--steps`: the scenes, the first weights, the order. See README.md beside this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from brokerlab.pipeline import detector, scenes
from brokerlab.pipeline.pictures import open_picture
from jax import lax
from onnx import TensorProto, helper, numpy_helper

Arrays = dict[str, Any]

STRIDE = 8
CLASSES = len(scenes.LABELS)
BATCHES = {128: 24, 320: 4}
"""Scenes in a batch, by their side in px: either holds about 400,000 pixels."""
LARGE_EVERY = 3
"""Each such batch is one of 320-px scenes."""
POOLS = {128: 12_000, 320: 2_500}
"""How many scenes are drawn before training; a later pass sees them again, in another order."""
PEAK_RATE = 3e-3
WEIGHT_DECAY = 1e-4
EMA = 0.998
TRAIN_SEED = 1_000
TEST_SEED = 2_000
"""Scenes of this seed are never trained on."""
TEST_SCENES = 500
LENGTHS = (12, 16, 20, 24, 32, 64, 128, 144, 160, 200)
TILTS = (0, 30, 45, 60, 90, 180)
"""Beyond what scenes hold, too, to say where the knowledge ends."""


@dataclass(frozen=True)
class Layer:
    """A convolution, normalised unless it is the last, and how wide its steps are."""

    name: str
    kernel: int
    inputs: int
    outputs: int
    stride: int = 1
    normalised: bool = True


WIDTHS = (16, 32, 64, 96)


def layers() -> tuple[Layer, ...]:
    first, second, third, fourth = WIDTHS
    body: list[Layer] = [
        Layer("stem", 3, 3, first, 2),
        Layer("down4", 3, first, second, 2),
        *residual("block4", second),
        Layer("down8", 3, second, third, 2),
        *residual("block8", third),
        Layer("down16", 3, third, fourth, 2),
        *residual("block16", fourth),
        Layer("lateral", 1, fourth, third),
        Layer("merge", 3, third, third),
        Layer("head", 3, third, third),
        Layer("out", 1, third, CLASSES + 4, normalised=False),
    ]
    return tuple(body)


def residual(name: str, width: int) -> tuple[Layer, Layer]:
    return Layer(f"{name}a", 3, width, width), Layer(f"{name}b", 3, width, width)


LAYERS = {layer.name: layer for layer in layers()}


def initial(rng: np.random.Generator) -> Arrays:
    weights: Arrays = {}
    for layer in LAYERS.values():
        fan_in = layer.kernel**2 * layer.inputs
        shape = (layer.kernel, layer.kernel, layer.inputs, layer.outputs)
        scale = math.sqrt(2 / fan_in) if layer.normalised else 0.01
        weights[f"{layer.name}.w"] = (rng.standard_normal(shape) * scale).astype(np.float32)
        weights[f"{layer.name}.b"] = np.zeros(layer.outputs, np.float32)
        if layer.normalised:
            # A residual branch that begins at nothing lets the first steps be larger.
            begin = 0.2 if layer.name.endswith("b") and layer.name.startswith("block") else 1.0
            weights[f"{layer.name}.g"] = np.full(layer.outputs, begin, np.float32)
    weights["out.b"][:CLASSES] = -4.6  # the usual share of cells with an object's centre: 1 %
    return weights


Normalise = Callable[[str, jax.Array], jax.Array]


def network(weights: Arrays, pictures: jax.Array, normalise: Normalise) -> jax.Array:
    """Return (batch, height / 8, width / 8, classes + 4) for pictures of (batch, height, width, 3) in -1..1."""

    def conv(name: str, x: jax.Array) -> jax.Array:
        layer = LAYERS[name]
        half = layer.kernel // 2
        y = lax.conv_general_dilated(
            x,
            weights[f"{name}.w"],
            (layer.stride, layer.stride),
            [(half, half), (half, half)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return normalise(name, y) if layer.normalised else y + weights[f"{name}.b"]

    def block(name: str, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x + conv(f"{name}b", jax.nn.relu(conv(f"{name}a", x))))

    x = jax.nn.relu(conv("stem", pictures))
    x = block("block4", jax.nn.relu(conv("down4", x)))
    eighth = block("block8", jax.nn.relu(conv("down8", x)))
    sixteenth = block("block16", jax.nn.relu(conv("down16", eighth)))
    above = jnp.repeat(jnp.repeat(conv("lateral", sixteenth), 2, axis=1), 2, axis=2)
    x = jax.nn.relu(conv("merge", jax.nn.relu(eighth + above)))
    return conv("out", jax.nn.relu(conv("head", x)))


def batch_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean = x.mean((0, 1, 2))
    return mean, jnp.square(x).mean((0, 1, 2)) - jnp.square(mean)


def by_batch(weights: Arrays, kept: Arrays | None = None) -> Normalise:
    """Normalise by the batch's own mean and variance, and note them in `kept`."""

    def normalise(name: str, x: jax.Array) -> jax.Array:
        mean, variance = batch_statistics(x)
        if kept is not None:
            kept[name] = (mean, variance)
        scale = weights[f"{name}.g"] * lax.rsqrt(variance + 1e-5)
        return x * scale + (weights[f"{name}.b"] - mean * scale)

    return normalise


def loss(weights: Arrays, pictures: jax.Array, target: jax.Array) -> jax.Array:
    """Return the focal loss of the heat map plus the L1 loss of the boxes near each centre.

    `target` holds per cell the heat (classes), the box (4) and the box's weight (1).
    """
    out = network(weights, pictures, by_batch(weights))
    heat, box, weight = target[..., :CLASSES], target[..., CLASSES:-1], target[..., -1:]
    logit = out[..., :CLASSES]
    chance = jax.nn.sigmoid(logit)
    hit = heat >= 0.999
    positive = jnp.where(hit, -jax.nn.log_sigmoid(logit) * (1 - chance) ** 2, 0)
    negative = jnp.where(hit, 0, jax.nn.softplus(logit) * chance**2 * (1 - heat) ** 4)
    focal = (positive.sum() + negative.sum()) / jnp.maximum(1, hit.sum())
    distance = (jnp.abs(out[..., CLASSES:] - box) * weight).sum() / jnp.maximum(1, weight.sum())
    return focal + distance


def target_of(scene: scenes.Scene) -> np.ndarray:
    cells = scene.size // STRIDE
    target = np.zeros((cells, cells, CLASSES + 5), np.float32)
    at = np.arange(cells) + 0.5
    for thing in scene.objects:
        x, y = (thing.left + thing.width / 2) / STRIDE, (thing.top + thing.height / 2) / STRIDE
        column, row = min(int(x), cells - 1), min(int(y), cells - 1)
        wide, high = max(0.55, thing.width / STRIDE / 8), max(0.55, thing.height / STRIDE / 8)
        across = np.exp(-(((at - at[column]) / wide) ** 2) / 2)
        down = np.exp(-(((at - at[row]) / high) ** 2) / 2)
        bell = down[:, None] * across[None, :]
        label = scenes.LABELS.index(thing.label)
        target[..., label] = np.maximum(target[..., label], bell)
        near = (bell > 0.15) & (bell > target[..., -1])
        target[near, CLASSES] = np.broadcast_to(x - at[None, :], near.shape)[near]
        target[near, CLASSES + 1] = np.broadcast_to(y - at[:, None], near.shape)[near]
        target[near, CLASSES + 2] = math.log(thing.width / STRIDE)
        target[near, CLASSES + 3] = math.log(thing.height / STRIDE)
        target[near, -1] = bell[near]
    return target


def batches(size: int, pool: list[scenes.Scene], seed: int) -> Iterator[tuple[Any, Any]]:
    rng = np.random.default_rng([seed, size])
    many = BATCHES[size]
    while True:
        order = rng.permutation(len(pool))
        for begin in range(0, len(order) - many + 1, many):
            chosen = [pool[number] for number in order[begin : begin + many]]
            pictures = np.stack([np.asarray(open_picture(one.picture)) for one in chosen])
            yield scaled(pictures), np.stack([target_of(one) for one in chosen])


def scaled(pictures: np.ndarray) -> np.ndarray:
    return pictures.astype(np.float32) / 127.5 - 1


@partial(jax.jit, donate_argnums=(0, 1, 2, 3))
def step(
    weights: Arrays,
    first: Arrays,
    second: Arrays,
    average: Arrays,
    pictures: jax.Array,
    target: jax.Array,
    number: jax.Array,
    rate: jax.Array,
) -> tuple[Arrays, Arrays, Arrays, Arrays, jax.Array]:
    """Take one step of AdamW; `average` follows the weights."""
    value, slope = jax.value_and_grad(loss)(weights, pictures, target)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
    second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, slope)
    unbias_first, unbias_second = 1 - 0.9**number, 1 - 0.99**number

    def moved(name: str) -> jax.Array:
        change = first[name] / unbias_first / (jnp.sqrt(second[name] / unbias_second) + 1e-8)
        decay = WEIGHT_DECAY * weights[name] if name.endswith(".w") else 0.0
        return weights[name] - rate * (change + decay)

    weights = {name: moved(name) for name in weights}
    keep = jnp.minimum(EMA, number / (number + 10))
    average = jax.tree.map(lambda a, w: keep * a + (1 - keep) * w, average, weights)
    return weights, first, second, average, value


def rate_at(number: int, steps: int) -> float:
    warm = min(1.0, number / 200)
    return PEAK_RATE * warm * (0.5 * (1 + math.cos(math.pi * number / steps)) + 0.002)


def train(seed: int, steps: int, pools: dict[int, list[scenes.Scene]]) -> Arrays:
    weights: Arrays = {
        name: jnp.asarray(value) for name, value in initial(np.random.default_rng(seed)).items()
    }
    first, second, average = (
        jax.tree.map(how, weights) for how in (jnp.zeros_like, jnp.zeros_like, jnp.copy)
    )
    streams = {size: batches(size, pool, seed) for size, pool in pools.items()}
    recent: list[float] = []
    for number in range(1, steps + 1):
        pictures, target = next(streams[320 if number % LARGE_EVERY == 0 else 128])
        weights, first, second, average, value = step(
            weights, first, second, average, pictures, target, float(number), rate_at(number, steps)
        )
        recent.append(float(value))
        if not math.isfinite(recent[-1]):
            raise SystemExit(f"The loss is {recent[-1]} at step {number}: lower PEAK_RATE.")
        if number % 100 == 0:
            spent = time.process_time()
            print(f"step {number:5d}  loss {np.mean(recent):.3f}  {spent:6.0f} s", flush=True)
            recent.clear()
    return average


def folded(weights: Arrays, pools: dict[int, list[scenes.Scene]], seed: int) -> Arrays:
    """Fold the normalisation, with statistics over 40 batches, into the convolutions."""

    @jax.jit
    def statistics(pictures: jax.Array) -> Arrays:
        kept: Arrays = {}
        network(weights, pictures, by_batch(weights, kept))
        return kept

    streams = {size: batches(size, pool, seed + 1) for size, pool in pools.items()}
    seen = [statistics(next(streams[size])[0]) for _ in range(20) for size in streams]
    plain: Arrays = {}
    for name, layer in LAYERS.items():
        kernel, bias = np.asarray(weights[f"{name}.w"]), np.asarray(weights[f"{name}.b"])
        if layer.normalised:
            means = np.stack([one[name][0] for one in seen])
            mean = means.mean(0)
            variance = np.mean([one[name][1] for one in seen], 0) + means.var(0)
            scale = np.asarray(weights[f"{name}.g"]) / np.sqrt(variance + 1e-5)
            kernel, bias = kernel * scale, bias - mean * scale
        plain[name] = (kernel, bias)
    return plain


def graph(plain: Arrays) -> onnx.ModelProto:
    """Return the model: a picture of (height, width, 3) bytes, multiples of 16, to heat and boxes per cell."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def node(kind: str, inputs: list[str], output: str, **settings: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **settings))
        return output

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def conv(name: str, x: str) -> str:
        layer, (kernel, bias) = LAYERS[name], plain[name]
        # Half the bytes; ONNX Runtime casts once, when it loads the model.
        constant(
            f"{name}.w16", np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)).astype(np.float16)
        )
        node("Cast", [f"{name}.w16"], f"{name}.w", to=TensorProto.FLOAT)
        constant(f"{name}.b", bias.astype(np.float32))
        return node(
            "Conv",
            [x, f"{name}.w", f"{name}.b"],
            name,
            kernel_shape=[layer.kernel] * 2,
            pads=[layer.kernel // 2] * 4,
            strides=[layer.stride] * 2,
        )

    def relu(x: str) -> str:
        return node("Relu", [x], f"{x}.relu")

    def block(name: str, x: str) -> str:
        inner = conv(f"{name}b", relu(conv(f"{name}a", x)))
        return relu(node("Add", [x, inner], f"{name}.sum"))

    x = node("Cast", ["picture"], "float", to=TensorProto.FLOAT)
    x = node("Mul", [x, constant("contrast", np.float32([1 / 127.5]))], "contrasted")
    x = node("Sub", [x, constant("middle", np.float32([1.0]))], "centred")
    x = node("Transpose", [x], "planes", perm=[2, 0, 1])
    x = node("Unsqueeze", [x, constant("front", np.int64([0]))], "batch")
    x = block("block4", relu(conv("down4", relu(conv("stem", x)))))
    eighth = block("block8", relu(conv("down8", x)))
    sixteenth = conv("lateral", block("block16", relu(conv("down16", eighth))))
    scales = constant("twice", np.float32([1, 1, 2, 2]))
    above = node(
        "Resize", [sixteenth, "", scales], "above", mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    x = relu(conv("merge", relu(node("Add", [eighth, above], "merged"))))
    x = conv("out", relu(conv("head", x)))
    x = node("Squeeze", [x, "front"], "cells")
    constant("parts", np.int64([CLASSES, 4]))
    nodes.append(helper.make_node("Split", [x, "parts"], ["logits", "boxes"], name="split", axis=0))
    node("Sigmoid", ["logits"], "heat")

    model = helper.make_model(
        helper.make_graph(
            nodes,
            "detector",
            [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["height", "width", 3])],
            [
                helper.make_tensor_value_info(
                    "heat", TensorProto.FLOAT, [CLASSES, "rows", "columns"]
                ),
                helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [4, "rows", "columns"]),
            ],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name="brokerlab",
    )
    helper.set_model_props(model, {"labels": ",".join(scenes.LABELS), "licence": "Apache-2.0"})
    onnx.checker.check_model(model, full_check=True)
    return model


def score(model: Path, size: int) -> dict[str, float]:
    eyes = detector.Detector(model)
    hits = misses = extra = whole = 0
    for index in range(TEST_SCENES):
        truth = scenes.scene(TEST_SEED, index, size)
        right, missed, more = detector.match(truth.objects, eyes.detect(truth.picture))
        hits, misses, extra = hits + right, misses + missed, extra + more
        whole += not missed and not more
    return {
        "recall": round(hits / (hits + misses), 4),
        "precision": round(hits / (hits + extra), 4),
        "scenes_without_a_mistake": round(whole / TEST_SCENES, 4),
    }


def recall_alone(model: Path, length: float, tilt: float) -> float:
    """Return which part of the objects is found when each is alone in a 320-px scene, tilted either way."""
    eyes = detector.Detector(model)
    wanted = [
        scenes.Placed(label, 80, 80, length, length, turn)
        for label in scenes.LABELS
        for turn in (-tilt, tilt)
    ]
    shown = [scenes.compose([one], 320, TEST_SEED + at) for at, one in enumerate(wanted)]
    hits = [detector.match(one.objects, eyes.detect(one.picture))[0] for one in shown]
    return round(sum(hits) / len(hits), 2)


def card(model: Path, seed: int, steps: int, seconds: float) -> dict[str, Any]:
    """Return what detector.json says of a model: what it knows, whence it comes, how it scored."""
    return {
        "what": "An object detector (CenterNet style, stride 8, ONNX opset 13, weights in 16 bits) for the ML queue.",
        "knows": f"{CLASSES} objects as OpenMoji draws them, upright to about 30 degrees of tilt, about 24 to 128 px "
        "long (in a picture of up to 640 px, since larger ones are scaled down), in scenes that brokerlab.pipeline.scenes generates.",
        "does_not_know": "Photographs, other drawings of the same things, and anything else: it has seen none, and "
        "what it says about them means nothing. Test scenes show the same glyphs as the training scenes, in other "
        "places, sizes, tilts, tints and company.",
        "licence": "Apache-2.0 for the weights, trained from nothing by training/train.py; the training scenes were "
        "drawn with OpenMoji (CC BY-SA 4.0), which is credited in NOTICE.",
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "labels": list(scenes.LABELS),
        "training": {
            "seed": seed,
            "scene_seed": TRAIN_SEED + seed,
            "steps": steps,
            "batches": {f"{size} px": many for size, many in BATCHES.items()},
            "scenes": {f"{size} px": count for size, count in POOLS.items()},
            "a_320_px_batch_every": LARGE_EVERY,
            "peak_rate": PEAK_RATE,
            "weight_decay": WEIGHT_DECAY,
            "ema": EMA,
            "parameters": sum(
                layer.kernel**2 * layer.inputs * layer.outputs + layer.outputs
                for layer in LAYERS.values()
            ),
            "cpu_minutes": round(seconds / 60),
        },
        "scores": {
            "scene_seed": TEST_SEED,
            "scenes": TEST_SCENES,
            "overlap": 0.5,
            "confidence_from": detector.CONFIDENT,
            **{f"{size} px": score(model, size) for size in BATCHES},
            "recall_of_one_object_by_its_length": {
                f"{length} px": recall_alone(model, length, 15) for length in LENGTHS
            },
            "recall_of_one_object_by_its_tilt": {
                f"{tilt} degrees": recall_alone(model, 80, tilt) for tilt in TILTS
            },
        },
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seed", type=int, default=7)
    asked.add_argument("--steps", type=int, default=4_000)
    asked.add_argument(
        "--into", type=Path, default=detector.MODEL.parent, help="folder of the model"
    )
    options = asked.parse_args()
    pools = {
        size: [scenes.scene(TRAIN_SEED + options.seed, index, size) for index in range(count)]
        for size, count in POOLS.items()
    }
    print(f"{sum(POOLS.values())} scenes drawn, {time.process_time():.0f} s", flush=True)
    plain = folded(train(options.seed, options.steps, pools), pools, options.seed)
    seconds = time.process_time()
    model = options.into / detector.MODEL.name
    onnx.save(graph(plain), model)
    told = card(model, options.seed, options.steps, seconds)
    model.with_suffix(".json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told["scores"], indent=2))


if __name__ == "__main__":
    main()
