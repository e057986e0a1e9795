//! What is said of servers and their Pods.

use super::{Group, Reason, condition, events, normal, reason, warning};

const SERVER: &str = "GameServer";

/// All of it, as the page has it.
pub(super) static GROUPS: [Group; 10] = [
    condition(
        SERVER,
        "PodNormal",
        "gs-controller",
        "Whether the Pod and its containers are well. Reasons are Kubernetes' own (`Unschedulable`, `ContainersNotReady`, `CrashLoopBackOff`, `ErrImagePull`, `Evicted`, …), several joined by `; `; each new one is a Warning event of the same reason.",
        &[],
    ),
    condition(
        SERVER,
        "PersistentVolumeNormal",
        "gs-controller",
        "Whether every claimed volume is bound and well. Other reasons are the volume's own. Each new one is a Warning event of the same reason.",
        &[
            reason(
                "PersistentVolumeClaim Not Found",
                "the Pod names a claim that does not exist",
                "make the claim; with claim templates, see the set's `VolumeBlocked`",
            ),
            reason(
                "PersistentVolume Not Found",
                "the claim is bound to no volume, or to one that is gone",
                "`kubectl describe pvc`",
            ),
            reason(
                "PersistentVolumesNotWatched",
                "True: every claim is bound. The controllers are limited to namespaces and can't see volumes",
                "nothing",
            ),
        ],
    ),
    condition(
        SERVER,
        "NodeNormal",
        "node-watcher",
        "Whether the server's node is well; absent while it has always been. Other reasons are `Taint:KEY` and `CONDITION:REASON` of the node.",
        &[
            reason(
                "NodeNotFound",
                "there is no such node",
                "nothing: its Pods are removed and made anew ([lifecycle.md](lifecycle.md#when-a-pod-ends-or-is-lost))",
            ),
            reason(
                "NodeTerminating",
                "the node is being deleted",
                "nothing, or see who deletes it",
            ),
        ],
    ),
    events(
        SERVER,
        "node-watcher",
        "When `NodeNormal` turns False, with its message.",
        &[
            warning("NodeNotFound", "as above", "as above"),
            warning("NodeTerminating", "as above", "as above"),
            warning(
                "NodeEvicting",
                "a taint evicts the Pod",
                "who set the taint; the Pod goes unless it is taken off",
            ),
            warning(
                "NodeNotReady",
                "the kubelet is not ready, or has not been heard of",
                "look at the node: the server may still run, its id stays taken",
            ),
            warning(
                "NodeUnwell",
                "another condition of the node (disk, memory, …) is not as it should be",
                "look at the node",
            ),
        ],
    ),
    condition(
        SERVER,
        "NetworkReady",
        "network-plugins",
        "In sets with a network: whether addresses are published and lead to the server. Those that are no waiting are Warning events too ([networks.md](networks.md), [runbook](runbooks/network-not-ready.md)).",
        NETWORK,
    ),
    events(
        SERVER,
        "network-plugins",
        "When `NetworkReady` turns False for one of these reasons, with its message.",
        &[
            warning("NoSuchPlugin", "as above", "as above"),
            warning("ParameterError", "as above", "as above"),
            warning("HostPortsMissing", "as above", "as above"),
            warning("PortsExhausted", "as above", "as above"),
            warning("PortConflict", "as above", "as above"),
            warning("ServiceConflict", "as above", "as above"),
            warning("Refused", "as above", "as above"),
        ],
    ),
    events(
        SERVER,
        "gs-controller",
        "Beside those of its conditions.",
        &[normal(
            "GameServerRecreated",
            "the Pod is another one than before; its GameServer begins with the defaults",
            "nothing; with `reclaimPolicy: Delete` it would have been kept",
        )],
    ),
    events(
        SERVER,
        "pod-sync",
        "What its Pod shows.",
        &[
            normal(
                "GsStateChanged",
                "opsState, state, a priority or networkDisabled has changed, from and to (a Warning for Maintaining and Crash)",
                "nothing",
            ),
            warning(
                "InvalidLabelValue",
                "a value that no label can hold; the Pod does not show it",
                "write one that the message allows",
            ),
            warning(
                "PodPatchRefused",
                "the API server refuses a part of what the GameServer says (an image, annotations that are too large); the rest is shown",
                "change it on the GameServer",
            ),
            warning(
                "SyncGap",
                "for 5 s the Pod has not shown what the GameServer says; what, and why the last attempt failed",
                "[runbook](runbooks/sync-gap.md)",
            ),
            normal("SyncGapClosed", "it shows it again", "nothing"),
        ],
    ),
    events(
        SERVER,
        "quality-prober",
        "Probes and actions ([qualities.md](qualities.md)).",
        &[
            normal(
                "ServiceQualityChanged",
                "a quality has another state or result",
                "nothing",
            ),
            normal("ServiceQualityAction", "what its actions changed", "nothing"),
            warning(
                "ContainerNotFound",
                "the quality names a container that the Pod does not have",
                "the message names those there are",
            ),
            warning(
                "PortNotFound",
                "it names a port that the container does not have",
                "the message names those there are",
            ),
            warning(
                "NotAProbe",
                "it can't be probed as it is written",
                "the message says why",
            ),
            warning(
                "InvalidTemplate",
                "a template can't be used; its field stays as it is",
                "correct it in the set",
            ),
            warning(
                "InvalidOpsState",
                "an action makes an opsState that no label can hold; it stays as it is",
                "correct the action or its template",
            ),
            warning(
                "InvalidUpdatePriority",
                "an action makes a priority that is no whole number",
                "correct the action or its template",
            ),
            warning(
                "InvalidDeletionPriority",
                "an action makes a priority that is no whole number",
                "correct the action or its template",
            ),
            warning(
                "InvalidLabelValue",
                "an action makes a value that no label can hold",
                "correct the action or its template",
            ),
            warning(
                "ServerIsGoing",
                "an action would allocate a server that has a deletion claim",
                "nothing",
            ),
            warning(
                "ActionYielded",
                "somebody else changed the same field at the same time; theirs stays",
                "nothing, unless it happens again and again: two want to decide one field",
            ),
            warning(
                "ActionRefused",
                "the API server refuses what an action asks for",
                "the message has its words; correct the action",
            ),
        ],
    ),
    condition(
        "Pod",
        "game.kruise.io/NAME",
        "quality-prober",
        "What a service quality's probe found; the message is its result.",
        &[
            reason("ProbeSucceeded", "True", "nothing"),
            reason("ProbeFailed", "False, and what it printed", "as your actions say"),
            reason(
                "ProbeTimedOut",
                "False: it took longer than `timeoutSeconds`",
                "a longer timeout, or a faster probe",
            ),
            reason(
                "ContainerNotFound",
                "Unknown: there is no such container",
                "the message names those there are",
            ),
            reason(
                "PortNotFound",
                "Unknown: there is no such port",
                "the message names those there are",
            ),
            reason(
                "NotAProbe",
                "Unknown: it can't be probed as it is written",
                "the message says why",
            ),
            reason(
                "QualityRemoved",
                "Unknown: the set no longer has this quality",
                "nothing",
            ),
        ],
    ),
];

const NETWORK: &[Reason] = &[
    reason(
        "NoSuchPlugin",
        "no plugin has this `networkType`",
        "the message names those there are",
    ),
    reason(
        "ParameterError",
        "a parameter can't be understood",
        "write what the message says",
    ),
    reason(
        "HostPortsMissing",
        "the Pod was made without host ports",
        "delete it when nobody plays on it; a new one gets them, if the range has enough",
    ),
    reason(
        "PortsExhausted",
        "no load balancer of the list has enough free ports",
        "add one, or widen the range",
    ),
    reason(
        "PortConflict",
        "another Service has the port, and `Fixed` keeps this one from moving",
        "delete one of the two",
    ),
    reason(
        "ServiceConflict",
        "a Service or an Ingress of the server's name belongs to somebody else",
        "rename or delete it",
    ),
    reason(
        "Refused",
        "the API server does not accept the object",
        "the message has its words",
    ),
    reason("WaitingForSet", "the server's set is not known yet", "wait"),
    reason(
        "WaitingForNode",
        "the Pod has no node, or the node no address",
        "wait; if it stays, `PodNormal`, or the node's addresses",
    ),
    reason(
        "WaitingForPod",
        "the Pod has no address yet",
        "wait; if it stays, `PodNormal`",
    ),
    reason(
        "WaitingForObjects",
        "the Service or Ingress is being made, or an earlier one is still being deleted",
        "wait; if it stays, the finalizers of the earlier one",
    ),
    reason(
        "WaitingForAddress",
        "the load balancer has no address yet",
        "wait; if it stays, whoever provides load balancers",
    ),
    reason("NetworkDisabled", "`networkDisabled` is set", "nothing"),
    reason(
        "Draining",
        "it is being taken away, and nobody new is sent to it",
        "nothing",
    ),
];
