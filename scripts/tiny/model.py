"""GPT-2 in PyTorch, as the tiny model is trained: pre-norm blocks, learned positions, gelu_new, tied embedding.

GPT-2 begins with a standard deviation of 0.02 at a width of 768; 0.05 keeps the same scale of activations at a width of
128. The tokens' embedding begins twice as large, for it is also the unembedding: smaller rows cannot yet give one token
a clearly higher logit than the others. Parameters carry Hugging Face's names and layout (Conv1D weights are [in, out]),
so that the state dict is the checkpoint, which is written and read here without further packages.
Needs PyTorch 2.9 or later (`torch.optim.Muon`).
"""

import json
import math
import struct

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "model_type": "gpt2",
    "architectures": ["GPT2LMHeadModel"],
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "n_positions": 128,
    "n_ctx": 128,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
    "initializer_range": 0.05,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
}


class Conv1D(nn.Module):
    """x @ weight + bias, weight [in, out]."""

    def __init__(self, n_in, n_out, std):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in, n_out) * std)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        return torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


class Attention(nn.Module):
    def __init__(self, config, std, residual_std):
        super().__init__()
        d = config["n_embd"]
        self.n_head = config["n_head"]
        self.c_attn = Conv1D(d, 3 * d, std)
        self.c_proj = Conv1D(d, d, residual_std)

    def forward(self, x):  # [batch, pos, d_model]
        heads = (x.shape[0], x.shape[1], self.n_head, -1)
        q, k, v = (part.view(heads).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1))
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # [batch, head, pos, d_head]
        return self.c_proj(z.transpose(1, 2).reshape(x.shape))


class Mlp(nn.Module):
    def __init__(self, config, std, residual_std):
        super().__init__()
        d = config["n_embd"]
        self.c_fc = Conv1D(d, 4 * d, std)
        self.c_proj = Conv1D(4 * d, d, residual_std)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        std = config["initializer_range"]
        residual_std = std / math.sqrt(2 * config["n_layer"])
        eps = config["layer_norm_epsilon"]
        self.ln_1 = nn.LayerNorm(config["n_embd"], eps=eps)
        self.attn = Attention(config, std, residual_std)
        self.ln_2 = nn.LayerNorm(config["n_embd"], eps=eps)
        self.mlp = Mlp(config, std, residual_std)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


def sinusoids(positions, d):
    """Vaswani et al.'s position code, of mean square one: where the learned positions begin.

    From random positions a head finds the previous token only late, for it must learn every position by itself.
    """
    rate = torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))
    angle = torch.arange(positions)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1) * math.sqrt(2)


class Gpt2(nn.Module):
    """Tokens [batch, pos] to logits [batch, pos, d_vocab]."""

    def __init__(self, config):
        super().__init__()
        d, std = config["n_embd"], config["initializer_range"]
        self.config = config
        self.wte = nn.Embedding(config["vocab_size"], d)
        self.wpe = nn.Embedding(config["n_positions"], d)
        nn.init.normal_(self.wte.weight, std=2 * std)
        with torch.no_grad():
            self.wpe.weight.copy_(sinusoids(config["n_positions"], d) * std)
        self.h = nn.ModuleList(Block(config) for _ in range(config["n_layer"]))
        self.ln_f = nn.LayerNorm(d, eps=config["layer_norm_epsilon"])

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


def save(model, folder):
    """Writes config.json and model.safetensors (float32, tied head left out)."""
    header, chunks, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, tensor in model.state_dict().items():
        data = tensor.detach().to(torch.float32).contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{folder}/model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))
    with open(f"{folder}/config.json", "w") as file:
        file.write(json.dumps(model.config, indent=2) + "\n")


def load(folder):
    """The model which `save` wrote."""
    with open(f"{folder}/config.json") as file:
        model = Gpt2(json.load(file))
    with open(f"{folder}/model.safetensors", "rb") as file:
        data = file.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).view(entry["shape"])
    model.load_state_dict(tensors)
    return model
