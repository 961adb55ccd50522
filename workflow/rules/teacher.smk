# The network that the students learn consistency and accuracy from.

TEACHER = GRAPH.family("teacher")


rule train_teacher:
    input:
        TEACHER.needs,
    output:
        TEACHER.outputs,
    wildcard_constraints:
        **TEACHER.wildcards,
    log:
        "logs/teacher/{dataset}.log",
    benchmark:
        "logs/teacher/{dataset}.tsv"
    threads: TEACHER.threads
    resources:
        **TEACHER.resources,
    message:
        "Training the teacher of {wildcards.dataset}"
    shell:
        TEACHER.command
