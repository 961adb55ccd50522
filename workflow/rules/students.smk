# Students: the same network, trained with different losses. Three groups, because only some need the teacher.

STUDENT = GRAPH.family("student")
DISTILLED = GRAPH.family("student_distilled")
ABLATION = GRAPH.family("student_ablation")


rule train_student:
    input:
        STUDENT.needs,
    output:
        STUDENT.outputs,
    wildcard_constraints:
        **STUDENT.wildcards,
    log:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    threads: STUDENT.threads
    resources:
        **STUDENT.resources,
    message:
        "Training {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        STUDENT.command


rule distil_student:
    input:
        DISTILLED.needs,
    output:
        DISTILLED.outputs,
    wildcard_constraints:
        **DISTILLED.wildcards,
    log:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    threads: DISTILLED.threads
    resources:
        **DISTILLED.resources,
    message:
        "Distilling {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        DISTILLED.command


rule distil_ablation:
    input:
        ABLATION.needs,
    output:
        ABLATION.outputs,
    wildcard_constraints:
        **ABLATION.wildcards,
    log:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    threads: ABLATION.threads
    resources:
        **ABLATION.resources,
    message:
        "Distilling {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        ABLATION.command
