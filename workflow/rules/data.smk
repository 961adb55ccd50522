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
    message:
        "Making the frames of {wildcards.dataset}"
    shell:
        FRAMES.command


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
    message:
        "Computing the optical flow of {wildcards.dataset} to {wildcards.purpose} with"
    shell:
        FLOW.command


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
    message:
        "Training the labeller of {wildcards.dataset} on the annotated frames"
    shell:
        LABELLER.command


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
    message:
        "Labelling the unlabelled frames of {wildcards.dataset}"
    shell:
        PSEUDO_LABELS.command
