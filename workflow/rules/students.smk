# Students: the same network, trained with different losses. Three groups, because only some need the teacher.

START = GRAPH.family("pretrain")
STUDENT = GRAPH.family("student")
DISTILLED = GRAPH.family("student_distilled")
ABLATION = GRAPH.family("student_ablation")


rule pretrain_student:
    input:
        START.needs,
    output:
        START.outputs,
    log:
        "logs/pretrain/{dataset}-{architecture}.log",
    benchmark:
        "logs/pretrain/{dataset}-{architecture}.tsv"
    wildcard_constraints:
        **START.wildcards,
    priority: START.priority
    threads: START.threads
    resources:
        **START.resources,
    message:
        "Training the start of all {wildcards.architecture} students on {wildcards.dataset}"
    shell:
        START.command


rule train_student:
    input:
        STUDENT.needs,
    output:
        STUDENT.outputs,
    log:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    wildcard_constraints:
        **STUDENT.wildcards,
    priority: STUDENT.priority
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
    log:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    wildcard_constraints:
        **DISTILLED.wildcards,
    priority: DISTILLED.priority
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
    log:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.log",
    benchmark:
        "logs/student/{dataset}-{architecture}-{scheme}-{seed}.tsv"
    wildcard_constraints:
        **ABLATION.wildcards,
    priority: ABLATION.priority
    threads: ABLATION.threads
    resources:
        **ABLATION.resources,
    message:
        "Distilling {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        ABLATION.command
