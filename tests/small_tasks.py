"""Task items for tiny parents: a tokenizer of single characters, and answers that the parent gives."""

import shutil
import string

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tessera.common import files
from tessera.data.params import TokensParams
from tessera.puzzle.params import ComputeParams
from tessera.puzzle.studies.tasks.stages import answers as puzzle_tasks_answers

TOKENS = TokensParams(ngram=13, separator="<|endoftext|>")
#: Parameters of the stage that asks items.
ASKED = puzzle_tasks_answers.Params(compute=ComputeParams(device="cpu", dtype="float32"), tokens=TOKENS)


def with_tokenizer(model, place):
    """A copy of a model's directory, with a tokenizer of 64 tokens."""
    shutil.copytree(model, place)
    vocabulary = ["?", "<|endoftext|>", *string.ascii_letters, *"ĠĊ.,:-0123"]  # byte-level: Ġ is a space
    made = Tokenizer(models.BPE({one: i for i, one in enumerate(vocabulary)}, [], unk_token="?"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>"])
    made.save(str(place / "tokenizer.json"))
    files.write_json(place / "generation_config.json", {"eos_token_id": 1})
    return place


def agree(items, model, answers):
    """Call what the model finds likeliest the answer of four items in five, so that it is above chance."""
    puzzle_tasks_answers.main(ASKED, model, model, items, "all", answers)
    table, found = files.read_parquet(items), files.read_parquet(answers)
    likeliest = found.loc[found.groupby(["set", "index"])["log_probability"].idxmax()].set_index(["set", "index"])
    chosen = likeliest["choice"].reindex(table.set_index(["set", "index"]).index).to_numpy()
    table["answer"] = table["answer"].where(table["index"] % 5 == 0, chosen)
    files.write_parquet(items, table)
