//! What is said of sets.

use super::{Group, condition, events, normal, reason, warning};

const SET: &str = "GameServerSet";
const GSS: &str = "gss-controller";

/// All of it, as the page has it.
pub(super) static GROUPS: [Group; 12] = [
    condition(
        SET,
        "Ready",
        GSS,
        "Whether all wanted servers are there and ready.",
        &[
            reason("AllReady", "every wanted server is ready", "nothing"),
            reason(
                "ServersNotReady",
                "some are not",
                "`kubectl get gs` shows which; `kubectl gs why NAME`, or the conditions of that GameServer, say why",
            ),
        ],
    ),
    condition(
        SET,
        "Progressing",
        GSS,
        "What is being done.",
        &[
            reason(
                "Settled",
                "nothing is left to do; the message says when updates are paused or held back by a partition",
                "nothing",
            ),
            reason(
                "Creating",
                "Pods are being made",
                "wait; if it stays, see `Degraded` and `VolumeBlocked`",
            ),
            reason(
                "Updating",
                "servers are brought to the template",
                "wait; if it stays, see `UpdateBlocked`",
            ),
            reason(
                "Deleting",
                "servers are being deleted",
                "wait; if it stays, `kubectl gs why NAME` of one that is LEAVING",
            ),
            reason(
                "Draining",
                "servers wait for their last player",
                "wait, or `kubectl gs kill NAME`",
            ),
            reason(
                "Starting",
                "Pods are there and not ready yet",
                "wait; if it stays, see `Ready`",
            ),
        ],
    ),
    condition(
        SET,
        "ScaleInBlocked",
        GSS,
        "Whether servers that should go are kept.",
        &[
            reason("NotBlocked", "none is", "nothing"),
            reason(
                "AllocatedServers",
                "with `protectAllocated`, all that are left to go are Allocated",
                "release them when their games are over, or raise `replicas` to keep them",
            ),
        ],
    ),
    condition(
        SET,
        "UpdateBlocked",
        GSS,
        "Whether an update waits for something that takes more than its turn.",
        &[
            reason(
                "NotBlocked",
                "no server waits for anything but its turn",
                "nothing",
            ),
            reason(
                "InPlaceUpdateStuck",
                "an image can't be had, or a container does not run what its Pod says",
                "correct the template: servers are changed again ([runbook](runbooks/update-stuck.md))",
            ),
            reason(
                "InPlaceImpossible",
                "`InPlaceOnly`, and the template differs in more than a running Pod can change",
                "`InPlaceIfPossible`, or delete the Pods when it suits",
            ),
            reason(
                "AllocatedServers",
                "with `protectAllocated`, servers are updated when they are released",
                "release them when their games are over",
            ),
            reason(
                "HeldByHook",
                "the hook `inPlaceUpdate` holds servers",
                "whoever serves the hook lets them go ([lifecycle.md](lifecycle.md#hooks))",
            ),
        ],
    ),
    condition(
        SET,
        "Degraded",
        GSS,
        "Whether something is wrong with the set itself. The most pressing reason; the message has all.",
        &[
            reason("AsExpected", "nothing is", "nothing"),
            reason(
                "AwaitingTakeOver",
                "its Pods still belong to OpenKruise's StatefulSet, and nothing is done",
                "`gamekeeper-migrate plan` ([migration.md](migration.md))",
            ),
            reason(
                "FailedCreate",
                "the API server refuses its Pods (quota, Pod Security, an admission webhook), or Pods of somebody else have their names",
                "the message has the API server's words, or the Pod to remove; creation is tried again by itself",
            ),
            reason(
                "InvalidSpec",
                "a part of a stored spec can't be understood; what is used instead is said",
                "write what the message says",
            ),
            reason(
                "OutOfIds",
                "`reserveGameServerIds` leaves too few ids",
                "release some",
            ),
            reason(
                "ReserveNotWritten",
                "under `ReserveIds`, ids of servers that went can't be added to the reserves",
                "the message says why; it is tried again",
            ),
            reason(
                "EarlyEnds",
                "a server ends within a minute of its start, again and again; each waits longer before it is replaced",
                "`kubectl logs NAME` of the ended Pod; delete it to have a new one at once",
            ),
            reason(
                "StrangePods",
                "Pods carry the set's label and do not belong to it; they are left alone",
                "delete them, or remove the label `game.kruise.io/owner-gss`",
            ),
        ],
    ),
    condition(
        SET,
        "HookBlocked",
        GSS,
        "In sets with hooks: whether one has held a server for more than 10 minutes.",
        &[
            reason("NotBlocked", "no server waits for a hook", "nothing"),
            reason("HookWaiting", "some wait, none for long", "wait"),
            reason(
                "HookOverdue",
                "one has waited for more than the message says; a hook has no timeout",
                "whoever serves the hook takes its labels or finalizers off ([runbook](runbooks/pre-delete-stuck.md)); `kubectl gs why NAME` has the command",
            ),
        ],
    ),
    condition(
        SET,
        "VolumeBlocked",
        GSS,
        "In sets with claim templates: whether servers wait for a volume claim.",
        &[
            reason("NotBlocked", "none does", "nothing"),
            reason(
                "MadeWithoutClaim",
                "servers were made before a claim template was added, and run without it (status False)",
                "recreate them when it suits",
            ),
            reason(
                "ClaimTerminating",
                "the claim is being deleted; a new one follows",
                "its finalizers say who holds it",
            ),
            reason(
                "ClaimForeign",
                "it belongs to another owner, or to an earlier set or Pod with which it will be deleted",
                "wait, or take its `ownerReferences` off to keep the data",
            ),
            reason(
                "ClaimLost",
                "its volume is gone",
                "delete the claim to have a new one made",
            ),
            reason(
                "ClaimUnbound",
                "no volume was bound to it for 30 s",
                "`kubectl describe pvc`: what its storage class says",
            ),
        ],
    ),
    condition(
        SET,
        "NeedsIntervention",
        GSS,
        "In sets with `failurePolicy.maxFailures`: whether it was reached.",
        &[
            reason("NotNeeded", "not any more", "nothing"),
            reason(
                "TooManyFailures",
                "failed servers are no longer replaced",
                "look at them, then change the set's spec: it counts anew ([runbook](runbooks/needs-intervention.md))",
            ),
        ],
    ),
    condition(
        SET,
        "EvictionAdvice",
        GSS,
        "Where who may evict servers is not as it seems ([disruption.md](disruption.md)).",
        &[
            reason("AsAdvised", "it is, after all", "nothing"),
            reason(
                "BudgetConflict",
                "two PodDisruptionBudgets select one Pod: every eviction fails",
                "keep one",
            ),
            reason(
                "WeakBudget",
                "your budget stands in for ours and lets evictions through",
                "the message says what to write in it",
            ),
            reason(
                "UnknownValue",
                "a stored `eviction.safe` that is none of the four; `Never` is used",
                "write one of the four",
            ),
            reason(
                "TemplateDecides",
                "the template's own key says something else than `eviction.safe`",
                "take it out of the template",
            ),
            reason(
                "GracePeriod",
                "`terminationGracePeriodSeconds` does not go with the value",
                "another value, or another period",
            ),
        ],
    ),
    events(
        SET,
        GSS,
        "Each condition above that becomes True with a new reason is told in a Warning with the condition's message, too.",
        &[
            normal("Scale", "the wanted ids have changed", "nothing"),
            normal(
                "Kill",
                "servers with opsState Kill are taken, and `replicas` lowered with them",
                "nothing",
            ),
            normal(
                "UpdateStarted",
                "a new template, or an earlier one again; how many servers have another one",
                "nothing",
            ),
            normal("UpdateFinished", "all servers have it and are ready", "nothing"),
            warning("ScaleInBlocked", "condition of that name", "see there"),
            warning("UpdateBlocked", "condition of that name", "see there"),
            warning(
                "FailedCreate",
                "condition `Degraded`, reason `FailedCreate`; or the one Pod that is in the way",
                "see there",
            ),
            warning(
                "Degraded",
                "condition of that name, any other reason",
                "see there",
            ),
            warning("HookBlocked", "condition of that name", "see there"),
            warning("VolumeBlocked", "condition of that name", "see there"),
            warning("NeedsIntervention", "condition of that name", "see there"),
            warning("EvictionAdvice", "condition of that name", "see there"),
            warning(
                "BudgetConflict",
                "condition `EvictionAdvice`, reason `BudgetConflict`",
                "see there",
            ),
            warning(
                "ServerFailed",
                "a server has failed (its Pod, its own report, no heartbeat), and what follows",
                "look at that server; the policy is `spec.failurePolicy`",
            ),
            warning(
                "DrainTimeout",
                "a server goes though players are on it: `drainTimeoutSeconds` is over, or they are not waited for any more",
                "a longer timeout, if that was not meant",
            ),
        ],
    ),
    events(
        SET,
        "player-autoscaler",
        "What it does, and why it can't; all other reasons are in `status.playerAutoscaling` ([autoscaling.md](autoscaling.md#by-players)).",
        &[
            normal("ScaledOut", "replicas were raised, and why", "nothing"),
            normal("ScaledIn", "replicas were lowered, and why", "nothing"),
            warning(
                "ScaledByOther",
                "a HorizontalPodAutoscaler or ScaledObject has this set as its target; nothing is scaled",
                "remove one of the two",
            ),
            warning(
                "InvalidSettings",
                "the settings can't be followed; nothing is scaled",
                "the message says what to change",
            ),
        ],
    ),
    events(
        SET,
        "quality-prober",
        "",
        &[warning(
            "InvalidTemplate",
            "a template in an action can't be used; its fields stay as they are",
            "the message has the template and what is wrong with it ([qualities.md](qualities.md#templates))",
        )],
    ),
];
