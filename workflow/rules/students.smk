# Students: the same network from the same start, trained with different losses. Three groups, because only some need
# the teacher, and the ablation has fewer seeds.

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
    params:
        stage=START.stage,
    message:
        "Pretraining {wildcards.architecture} on the annotated frames of {wildcards.dataset}, where its students start"
    shell:
        COMMAND


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
    params:
        stage=STUDENT.stage,
    message:
        "Training {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"
    shell:
        COMMAND


use rule train_student as distil_student with:
    input:
        DISTILLED.needs,
    output:
        DISTILLED.outputs,
    wildcard_constraints:
        **DISTILLED.wildcards,
    priority: DISTILLED.priority
    threads: DISTILLED.threads
    resources:
        **DISTILLED.resources,
    params:
        stage=DISTILLED.stage,
    message:
        "Distilling {wildcards.architecture} with scheme {wildcards.scheme}, seed {wildcards.seed}, on {wildcards.dataset}"


use rule distil_student as distil_ablation with:
    input:
        ABLATION.needs,
    output:
        ABLATION.outputs,
    wildcard_constraints:
        **ABLATION.wildcards,
    params:
        stage=ABLATION.stage,
