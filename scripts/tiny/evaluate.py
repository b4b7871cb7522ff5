"""Measures a trained model on the probes which `make-data.ts` wrote: the numbers of the model card.

    python scripts/tiny/evaluate.py DATA [--model weights/tiny] [--show]

A prompt counts as right when the answer has the highest logit of the whole vocabulary. --show prints the five likeliest
next tokens of the published prompts, and every prompt that is answered wrongly.
"""

import argparse
import json

import numpy
import torch
import torch.nn.functional as F

from model import load


def last_logits(model, prompts):
    """Logits [prompts, d_vocab] after the last token of each prompt; prompts of equal length run together."""
    result = torch.empty(len(prompts), model.config["vocab_size"])
    by_length = {}
    for i, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt["tokens"]), []).append(i)
    for rows in by_length.values():
        result[rows] = model(torch.tensor([prompts[i]["tokens"] for i in rows]))[:, -1]
    return result


def score(model, prompts):
    """Share of right answers, and the mean logit difference to the wrong answer where one is given."""
    logits = last_logits(model, prompts)
    answers = torch.tensor([p["answer"] for p in prompts])
    right = logits.argmax(-1) == answers
    result = {"right": round(right.float().mean().item(), 4), "of": len(prompts)}
    pairs = [(i, p["answer"], p["wrong"]) for i, p in enumerate(prompts) if p["wrong"] is not None]
    if pairs:
        rows, correct, wrong = torch.tensor(pairs).T
        result["logit_difference"] = round((logits[rows, correct] - logits[rows, wrong]).mean().item(), 3)
    return result, right


def induction(model, bos, repeated):
    """On random tokens said twice: mean loss over either half, and the share of right guesses in the second half.

    The first token of each half is left out: nothing announces it.
    """
    lists = torch.tensor(repeated)
    n = lists.shape[1]
    rows = torch.cat([torch.full((len(lists), 1), bos), lists, lists], dim=1)
    logits = model(rows[:, :-1])
    losses = F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")
    second = slice(n + 1, 2 * n)
    right = (logits.argmax(-1) == rows[:, 1:])[:, second].float().mean()
    return {
        "right": round(right.item(), 4),
        "loss_first": round(losses[:, 1:n].mean().item(), 3),
        "loss_second": round(losses[:, second].mean().item(), 3),
    }


@torch.no_grad()
def evaluate(model, data, probes):
    """Every number of the model card."""
    tokens = torch.from_numpy(numpy.fromfile(f"{data}/validation.bin", dtype="<u2").astype(numpy.int64))
    rows = tokens[: len(tokens) // 129 * 129].view(-1, 129)[:256]
    loss = F.cross_entropy(model(rows[:, :-1]).transpose(1, 2), rows[:, 1:])
    result = {
        "validation_loss": round(loss.item(), 4),
        "induction": induction(model, probes["bos"], probes["repeated"]),
    }
    for group in ("heldOut", "seeds"):
        result[group] = {kind: score(model, prompts)[0] for kind, prompts in probes[group].items()}
    return result


def show(model, probes):
    words = probes["vocabulary"]

    def line(prompt, answer):
        top = F.softmax(last_logits(model, [prompt])[0], -1).topk(5)
        guesses = ", ".join(f"{words[i]!r} {p:.1%}" for p, i in zip(top.values.tolist(), top.indices.tolist()))
        print(f"{prompt['prompt']!r} -> {answer}: {guesses}")

    for kind in ("ioi", "fact"):
        for prompt in probes["seeds"][kind]:
            line(prompt, repr(words[prompt["answer"]]))
    for prompt in probes["open"]:
        line(prompt, "?")
    for group in ("heldOut", "seeds"):
        for kind, prompts in probes[group].items():
            wrong = [p for p, right in zip(prompts, score(model, prompts)[1]) if not right]
            print(f"-- {group} {kind}: {len(wrong)} wrong of {len(prompts)}")
            for prompt in wrong[:15]:
                line(prompt, repr(words[prompt["answer"]]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--model", default="weights/tiny")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    loaded = load(args.model).eval()
    with open(f"{args.data}/probes.json") as file:
        written = json.load(file)
    print(json.dumps(evaluate(loaded, args.data, written), indent=2))
    if args.show:
        with torch.no_grad():
            show(loaded, written)
