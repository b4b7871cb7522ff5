"""Trains the tiny model. First `make-data.ts`, which writes the tokens and the tokenizer, then

    python scripts/tiny/train.py DATA [--model weights/tiny] [--steps 5000] [--until STEP] [--resume]

A step sees 2048 tokens. The first steps (of 1024) are repetitions of random tokens and nothing else: looking back and
copying, which indirect objects need too, is learnt soon where nothing else lowers the loss, and late in the full mixture.
Then comes the corpus, with a row of repetitions in four, at first in short rows, where there is little to find besides
what matters. Four rows of five begin with a document, the fifth anywhere, so that the model also copes with a text that
lacks its <|endoftext|>. Checkpoints go to the model's folder (weights) and to DATA/optimizer.pt.
"""

import argparse
import json
import math
import os
import time

import numpy
import torch
import torch.nn.functional as F

from evaluate import evaluate
from model import CONFIG, Gpt2, load, save

TOKENS_PER_STEP = 2048
WEIGHT_DECAY = 0.1
BETAS = (0.9, 0.98)
WARMUP = 50
REPETITION_STEPS = 1400
REPETITION_SHARE = 4  # afterwards one row of four


def read_documents(path, bos):
    """All token ids of a file, and where its documents begin."""
    tokens = torch.from_numpy(numpy.fromfile(path, dtype="<u2").astype(numpy.int64))
    return tokens, (tokens == bos).nonzero()[:, 0]


def batch(tokens, starts, rows, length, generator):
    """[rows, length + 1] random slices of the corpus."""
    aligned = starts[torch.randint(len(starts), (rows,), generator=generator)]
    anywhere = torch.randint(len(tokens), (rows,), generator=generator)
    begin = torch.where(torch.arange(rows) % 5 < 4, aligned, anywhere).clamp(max=len(tokens) - length - 1)
    return tokens[begin[:, None] + torch.arange(length + 1)]


def row_length(step, steps):
    return 48 if step < 0.6 * steps else 64 if step < 0.9 * steps else 128


def learning_rate(step, steps, peak):
    """Linear warm-up, then half a cosine down to nothing."""
    if step < WARMUP:
        return peak * (step + 1) / WARMUP
    return peak * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (steps - WARMUP)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--model", default="weights/tiny")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--until", type=int, help="stop after this step of the schedule; --resume goes on")
    parser.add_argument("--peak", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=250, help="steps between evaluations and checkpoints")
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    with open(f"{args.data}/probes.json") as file:
        probes = json.load(file)
    bos = probes["bos"]
    repetitions, corpus = (read_documents(f"{args.data}/{name}.bin", bos) for name in ("repetitions", "train"))
    vocabulary = {"vocab_size": len(probes["vocabulary"]), "bos_token_id": bos, "eos_token_id": bos}
    model = load(args.model) if args.resume else Gpt2({**CONFIG, **vocabulary})

    # Muon (Jordan et al. 2024) for the matrices inside the blocks learns from fewer tokens than AdamW, which takes the
    # embeddings, biases and gains. Weight decay on matrices only: it keeps the circuits small.
    inner = [p for name, p in model.named_parameters() if name.startswith("h.") and p.dim() == 2]
    embeddings = [model.wte.weight, model.wpe.weight]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": embeddings, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizers = [
        torch.optim.Muon(inner, lr=args.peak, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=args.peak, betas=BETAS, fused=True),
    ]
    first = 0
    state_path = f"{args.data}/optimizer.pt"
    if args.resume:
        state = torch.load(state_path)
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        generator.set_state(state["generator"])
        first = state["step"]

    size = sum(p.numel() for p in model.parameters())
    print(f"{size} parameters, {len(corpus[0])} tokens in {len(corpus[1])} documents")
    begun, total, seen = time.time(), 0.0, 0
    last = args.until or args.steps
    for step in range(first, last):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = learning_rate(step, args.steps, args.peak)
        length = row_length(step, args.steps)
        count = TOKENS_PER_STEP // length
        if step < REPETITION_STEPS:
            rows = batch(*repetitions, count // 2, length, generator)
        else:
            few = count // REPETITION_SHARE
            rows = torch.cat([
                batch(*repetitions, few, length, generator),
                batch(*corpus, count - few, length, generator),
            ])
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        total += loss.item()
        seen += rows.numel() - len(rows)
        done = step + 1
        if done % 50 == 0:
            speed = seen / (time.time() - begun)
            print(f"step {done}: loss {total / 50:.3f}, {speed:.0f} tokens/s", flush=True)
            total = 0.0
        if done % args.every == 0 or done == last:
            save(model, args.model)
            saved = [optimizer.state_dict() for optimizer in optimizers]
            state = {"optimizers": saved, "generator": generator.get_state(), "step": done}
            torch.save(state, state_path + ".new")
            os.replace(state_path + ".new", state_path)
            print(json.dumps(evaluate(model, args.data, probes)), flush=True)


if __name__ == "__main__":
    main()
