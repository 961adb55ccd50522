# From trained students to tables, plots and the report.

EVALUATE = GRAPH.family("evaluate")
EVALUATE_DISTILLED = GRAPH.family("evaluate_distilled")
EVALUATE_ABLATION = GRAPH.family("evaluate_ablation")
REPORT = GRAPH.family("report")
# What `snakemake --report` shows, each with a caption in workflow/report/.
SHOWN = ("schemes.png", "losses.png", "pseudo_labels.png", "strip.png", "schemes.md")


rule evaluate_student:
    input:
        EVALUATE.needs,
    output:
        EVALUATE.outputs,
    log:
        "logs/evaluate/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/evaluate/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    wildcard_constraints:
        **EVALUATE.wildcards,
    priority: EVALUATE.priority
    threads: EVALUATE.threads
    resources:
        **EVALUATE.resources,
    message:
        "Judging {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        EVALUATE.command


rule evaluate_distilled:
    input:
        EVALUATE_DISTILLED.needs,
    output:
        EVALUATE_DISTILLED.outputs,
    log:
        "logs/evaluate/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/evaluate/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    wildcard_constraints:
        **EVALUATE_DISTILLED.wildcards,
    priority: EVALUATE_DISTILLED.priority
    threads: EVALUATE_DISTILLED.threads
    resources:
        **EVALUATE_DISTILLED.resources,
    message:
        "Judging {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        EVALUATE_DISTILLED.command


rule evaluate_ablation:
    input:
        EVALUATE_ABLATION.needs,
    output:
        EVALUATE_ABLATION.outputs,
    log:
        "logs/evaluate/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/evaluate/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    wildcard_constraints:
        **EVALUATE_ABLATION.wildcards,
    priority: EVALUATE_ABLATION.priority
    threads: EVALUATE_ABLATION.threads
    resources:
        **EVALUATE_ABLATION.resources,
    message:
        "Judging {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        EVALUATE_ABLATION.command


rule write_report:
    input:
        REPORT.needs,
    output:
        [
            (
                report(path, caption=f"../report/{Path(path).stem}.rst", category="{dataset}")
                if Path(path).name in SHOWN
                else path
            )
            for path in REPORT.outputs
        ],
    log:
        "logs/report/{dataset}.log",
    benchmark:
        "logs/report/{dataset}.tsv"
    wildcard_constraints:
        **REPORT.wildcards,
    priority: REPORT.priority
    threads: REPORT.threads
    resources:
        **REPORT.resources,
    message:
        "Writing tables, plots and page of {wildcards.dataset}"
    shell:
        REPORT.command
