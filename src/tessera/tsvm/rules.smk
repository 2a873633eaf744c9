# T-SVM: margins with certificates, robustness to noise, kernels, real inputs; report.

SVM_PROBLEMS = list(PARAMS.tsvm.problems.problems)
SVM_SHOWN = f"data/tsvm/problems/{PARAMS.tsvm.problems.shown}"
VOWELS = packages.holding(PACKAGES, "vowels_train")

# What the report reads, by the arguments of its stage.
SVM_MARGINS = {
    "problems": expand("data/tsvm/problems/{problem}.json", problem=SVM_PROBLEMS),
    "rounds": expand("data/tsvm/problems/{problem}_rounds.parquet", problem=SVM_PROBLEMS),
    "trace": f"{SVM_SHOWN}_trace.parquet",
    "support": f"{SVM_SHOWN}_support.parquet",
    "soft": expand("data/tsvm/problems/{problem}_soft.parquet", problem=SVM_PROBLEMS),
    "steps": expand("data/tsvm/problems/{problem}_steps.parquet", problem=SVM_PROBLEMS),
    "load": expand("data/tsvm/load/n{targets}.parquet", targets=PARAMS.tsvm.load.targets),
}
SVM_ROBUSTNESS = {
    "curves": expand("data/tsvm/noise/p{problem}_curves.parquet", problem=range(PARAMS.tsvm.noise.problems)),
    "critical": expand("data/tsvm/noise/p{problem}_critical.parquet", problem=range(PARAMS.tsvm.noise.problems)),
    "sweep": "data/tsvm/sweep.parquet",
    "brian": "data/tsvm/brian.json",
}


rule tsvm_problem:
    input:
        code=code("tsvm_problem"),
    output:
        numbers="data/tsvm/problems/{problem}.json",
        rounds="data/tsvm/problems/{problem}_rounds.parquet",
        trace="data/tsvm/problems/{problem}_trace.parquet",
        support="data/tsvm/problems/{problem}_support.parquet",
        soft="data/tsvm/problems/{problem}_soft.parquet",
        steps="data/tsvm/problems/{problem}_steps.parquet",
    log:
        "logs/tsvm_problem/{problem}.log",
    benchmark:
        "logs/benchmarks/tsvm_problem/{problem}.tsv"
    wildcard_constraints:
        problem="|".join(SVM_PROBLEMS),
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.problems"),
        stage=stage("tsvm_problem"),
    message:
        "Margin and certificate of problem {wildcards.problem}"
    shell:
        STAGE


rule tsvm_load:
    input:
        code=code("tsvm_load"),
    output:
        problems="data/tsvm/load/n{targets}.parquet",
    log:
        "logs/tsvm_load/n{targets}.log",
    benchmark:
        "logs/benchmarks/tsvm_load/n{targets}.tsv"
    wildcard_constraints:
        targets=r"[0-9]+",
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.load", "seed"),
        stage=stage("tsvm_load"),
    message:
        "Margins of problems with {wildcards.targets} targets"
    shell:
        STAGE


rule tsvm_margin:
    input:
        list(SVM_MARGINS.values()),
    message:
        "Margins, certificates, and how they fall with the load"


rule tsvm_noise:
    input:
        code=code("tsvm_noise"),
    output:
        curves="data/tsvm/noise/p{problem}_curves.parquet",
        critical="data/tsvm/noise/p{problem}_critical.parquet",
    log:
        "logs/tsvm_noise/p{problem}.log",
    benchmark:
        "logs/benchmarks/tsvm_noise/p{problem}.tsv"
    wildcard_constraints:
        problem=r"[0-9]+",
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.noise", "seed"),
        stage=stage("tsvm_noise"),
    message:
        "Noise that all methods tolerate on problem {wildcards.problem}"
    shell:
        STAGE


rule tsvm_sweep:
    input:
        code=code("tsvm_sweep"),
    output:
        margins="data/tsvm/sweep.parquet",
    log:
        "logs/tsvm_sweep.log",
    benchmark:
        "logs/benchmarks/tsvm_sweep.tsv"
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.noise", "tsvm.sweep", "seed"),
        stage=stage("tsvm_sweep"),
    message:
        "Precision of the margin and hold window"
    shell:
        STAGE


rule tsvm_brian:
    input:
        code=code("tsvm_brian"),
    output:
        delays="data/tsvm/brian.parquet",
        numbers="data/tsvm/brian.json",
    log:
        "logs/tsvm_brian.log",
    benchmark:
        "logs/benchmarks/tsvm_brian.tsv"
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.problems", "tsvm.brian", "seed"),
        stage=stage("tsvm_brian"),
    message:
        "Trained weights in Brian2"
    shell:
        STAGE


rule tsvm_robustness:
    input:
        list(SVM_ROBUSTNESS.values()),
    message:
        "How much noise trained weights tolerate, by method, and the check by Brian2"


rule tsvm_kernels:
    input:
        code=code("tsvm_kernels"),
    output:
        margins="data/tsvm/xor_margins.parquet",
        noise="data/tsvm/xor_noise.parquet",
    log:
        "logs/tsvm_kernels.log",
    benchmark:
        "logs/benchmarks/tsvm_kernels.tsv"
    threads: 1
    params:
        cfg=section("tsvm.neuron", "tsvm.kernels", "seed"),
        stage=stage("tsvm_kernels"),
    message:
        "The exclusive-or over kernels"
    shell:
        STAGE


rule tsvm_real:
    input:
        vowels=f"data/raw/{VOWELS.file}",
        tempotron="data/tempotron/accuracies.parquet",
        code=code("tsvm_real"),
    output:
        accuracies="data/tsvm/speech.parquet",
    log:
        "logs/tsvm_real.log",
    benchmark:
        "logs/benchmarks/tsvm_real.tsv"
    threads: 1
    params:
        cfg=section(
            "tsvm.neuron",
            "tsvm.real",
            "seed",
            # The same inputs as the tempotron's.
            **{name: getattr(PARAMS.tempotron.real, name) for name in ["speaker_pairs", "levels", "frame"]},
            members=VOWELS.members,
        ),
        stage=stage("tsvm_real"),
    message:
        "Telling two speakers apart by a spike at the end of the utterance"
    shell:
        STAGE


rule tsvm_report:
    input:
        **SVM_MARGINS,
        **SVM_ROBUSTNESS,
        xor_margins=rules.tsvm_kernels.output.margins,
        xor_noise=rules.tsvm_kernels.output.noise,
        speech=rules.tsvm_real.output.accuracies,
        code=code("tsvm_report"),
    output:
        **published(
            "tsvm",
            texts={"results": "results in tables and sentences", "summary": "results in one line each"},
            tables={
                "margins": "margins of the reference problems",
                "loads": "feasible fraction, margins and scores by load",
                "soft": "soft margins by slack penalty",
                "critical": "noise at which half of the trials fail, by method",
                "kernels": "margins of the exclusive-or by kernel",
                "speech": "accuracies on two speakers",
            },
            figures={
                "voltage": "a potential under the envelope of its margin",
                "certificate": "certificates closing by round, and the online rule",
                "load": "margin and feasible fraction versus load",
                "noise": "F1 versus noise for all methods",
                "prediction": "predicted versus measured critical noise",
                "sweep": "precision of the margin and hold window",
                "xor": "the exclusive-or over kernels",
                "speech": "telling two speakers apart",
            },
            shown=("voltage", "certificate", "load", "noise", "prediction", "sweep", "xor", "speech"),
        ),
    log:
        "logs/tsvm_report.log",
    benchmark:
        "logs/benchmarks/tsvm_report.tsv"
    threads: 1
    params:
        cfg=section("tsvm", "seed"),
        stage=stage("tsvm_report"),
    message:
        "Tables, figures and runs of the T-SVM"
    shell:
        STAGE


rule tsvm:
    input:
        rules.tsvm_report.output,
    message:
        "T-SVM: spike times with the largest dynamical margin"
