"""Writes shipped.ts: what the shipped model computes in float64, for `npx glassbox doctor`.

    python scripts/doctor/make.py

Log-probabilities and attention patterns are the same whatever the processing of the weights. The float64 GPT-2 is the
tests' (test/fixtures/gpt2/reference.py), which shares no code with Glassbox. PyTorch 1.13 or later.
"""
import json
import pathlib
import struct
import sys

import torch  # before numpy, see reference.py
import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "test/fixtures/gpt2"))
from reference import forward, next_token_log_probs, transformer_lens_weights  # noqa: E402

PROMPTS = [
    "<|endoftext|>When John and Mary went to the shops, John gave the bag to",
    "<|endoftext|>The Space Needle is in downtown",
]


def tensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    for name, about in header.items():
        if name == "__metadata__":
            continue
        assert about["dtype"] == "F32", name
        start, end = (8 + length + at for at in about["data_offsets"])
        x = np.frombuffer(data[start:end], dtype="<f4").astype(np.float64)
        yield name.removeprefix("transformer."), torch.from_numpy(x.reshape(about["shape"]))


def encode(vocab, text):
    """Longest pieces first: enough for these prompts, whose words are tokens. Checked by a test."""
    pieces, text = [], text.replace(" ", "Ġ")
    while text:
        n = next(n for n in range(len(text), 0, -1) if text[:n] in vocab)
        pieces.append(vocab[text[:n]])
        text = text[n:]
    return pieces


hf = json.loads((ROOT / "weights/tiny/config.json").read_text())
cfg = {
    "nLayers": hf["n_layer"], "nHeads": hf["n_head"], "dModel": hf["n_embd"], "dHead": hf["n_embd"] // hf["n_head"],
    "dMlp": 4 * hf["n_embd"], "nCtx": hf["n_positions"], "dVocab": hf["vocab_size"], "eps": hf["layer_norm_epsilon"],
    "actFn": hf["activation_function"], "attnOnly": False, "normalization": "LN", "scaleAttn": True,
    "scaleAttnByInverseLayerIdx": False,
}
W = transformer_lens_weights(cfg, dict(tensors(ROOT / "weights/tiny/model.safetensors")))
tokenizer = json.loads((ROOT / "weights/tiny/tokenizer.json").read_text())
vocab = {**tokenizer["model"]["vocab"], **{t["content"]: t["id"] for t in tokenizer["added_tokens"]}}

runs = []
for text in PROMPTS:
    ids = encode(vocab, text)
    acts = forward(cfg, W, ids)
    last = acts["logits"][0, -1].log_softmax(-1)
    top = last.topk(6).indices.tolist() + list(range(5, cfg["dVocab"], 300))
    rounded = lambda xs: [round(float(x), 7) for x in xs]
    runs.append({
        "tokens": ids,
        "logProbs": rounded(next_token_log_probs(acts["logits"], ids)),
        "next": {"tokens": top, "logProbs": rounded(last[top])},
        "patterns": [
            [rounded(acts[f"blocks.{l}.attn.hook_pattern"][0, h, -1]) for h in range(cfg["nHeads"])]
            for l in range(cfg["nLayers"])
        ],
    })

lines = ["/** What the shipped model computes, in float64: written by make.py, beside this file. */", ""]
lines += [
    "/** Two prompts. */",
    "export const shipped: readonly {",
    "  readonly tokens: readonly number[];",
    "  /** log p of each token after the first. */",
    "  readonly logProbs: readonly number[];",
    "  /** log p of some tokens after the last. */",
    "  readonly next: { readonly tokens: readonly number[]; readonly logProbs: readonly number[] };",
    "  /** Attention from the last token, [layer][head][key]. */",
    "  readonly patterns: readonly (readonly (readonly number[])[])[];",
    "}[] = " + json.dumps(runs) + ";",
]
(HERE / "shipped.ts").write_text("\n".join(lines) + "\n")
