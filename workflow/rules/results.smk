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
    params:
        stage=EVALUATE.stage,
    message:
        "Evaluating {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        COMMAND


use rule evaluate_student as evaluate_distilled with:
    input:
        EVALUATE_DISTILLED.needs,
    output:
        EVALUATE_DISTILLED.outputs,
    wildcard_constraints:
        **EVALUATE_DISTILLED.wildcards,
    params:
        stage=EVALUATE_DISTILLED.stage,


use rule evaluate_student as evaluate_ablation with:
    input:
        EVALUATE_ABLATION.needs,
    output:
        EVALUATE_ABLATION.outputs,
    wildcard_constraints:
        **EVALUATE_ABLATION.wildcards,
    params:
        stage=EVALUATE_ABLATION.stage,


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
    params:
        stage=REPORT.stage,
    message:
        "Writing the tables, plots and page of {wildcards.dataset}"
    shell:
        COMMAND
