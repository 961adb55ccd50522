# The network that the students learn consistency and accuracy from.

TEACHER = GRAPH.family("teacher")


rule train_teacher:
    input:
        TEACHER.needs,
    output:
        TEACHER.outputs,
    log:
        "logs/teacher/{dataset}.log",
    benchmark:
        "logs/teacher/{dataset}.tsv"
    wildcard_constraints:
        **TEACHER.wildcards,
    priority: TEACHER.priority
    threads: TEACHER.threads
    resources:
        **TEACHER.resources,
    params:
        stage=TEACHER.stage,
    message:
        "Training the teacher of {wildcards.dataset}"
    shell:
        COMMAND
