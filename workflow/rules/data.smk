# From frames to what the networks learn from: manifest, optical flow, pseudo-labels.

FRAMES = GRAPH.family("frames")
FLOW = GRAPH.family("flow")
LABELLER = GRAPH.family("labeller")
PSEUDO_LABELS = GRAPH.family("pseudo_labels")


rule make_frames:
    input:
        FRAMES.needs,
    output:
        FRAMES.outputs,
    log:
        "logs/frames/{dataset}.log",
    benchmark:
        "logs/frames/{dataset}.tsv"
    wildcard_constraints:
        **FRAMES.wildcards,
    priority: FRAMES.priority
    threads: FRAMES.threads
    resources:
        **FRAMES.resources,
    params:
        stage=FRAMES.stage,
    message:
        "Making the frames of {wildcards.dataset}"
    shell:
        COMMAND


rule compute_flow:
    input:
        FLOW.needs,
    output:
        FLOW.outputs,
    log:
        "logs/flow/{dataset}-{purpose}.log",
    benchmark:
        "logs/flow/{dataset}-{purpose}.tsv"
    wildcard_constraints:
        **FLOW.wildcards,
    priority: FLOW.priority
    threads: FLOW.threads
    resources:
        **FLOW.resources,
    params:
        stage=FLOW.stage,
    message:
        "Computing the optical flow of {wildcards.dataset} (block '{wildcards.purpose}' of params/flow.yaml)"
    shell:
        COMMAND


rule train_labeller:
    input:
        LABELLER.needs,
    output:
        LABELLER.outputs,
    log:
        "logs/labeller/{dataset}.log",
    benchmark:
        "logs/labeller/{dataset}.tsv"
    wildcard_constraints:
        **LABELLER.wildcards,
    priority: LABELLER.priority
    threads: LABELLER.threads
    resources:
        **LABELLER.resources,
    params:
        stage=LABELLER.stage,
    message:
        "Training the labeller of {wildcards.dataset} on the annotated frames"
    shell:
        COMMAND


rule make_pseudo_labels:
    input:
        PSEUDO_LABELS.needs,
    output:
        PSEUDO_LABELS.outputs,
    log:
        "logs/pseudo_labels/{dataset}.log",
    benchmark:
        "logs/pseudo_labels/{dataset}.tsv"
    wildcard_constraints:
        **PSEUDO_LABELS.wildcards,
    priority: PSEUDO_LABELS.priority
    threads: PSEUDO_LABELS.threads
    resources:
        **PSEUDO_LABELS.resources,
    params:
        stage=PSEUDO_LABELS.stage,
    message:
        "Making the pseudo-labels of {wildcards.dataset}"
    shell:
        COMMAND
