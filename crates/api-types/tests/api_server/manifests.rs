//! Manifests that must be refused, and manifests that must not.

use serde_json::{Map, Value, json};

use crate::{
    cluster::{Cluster, Objects},
    objects::{Case, base, cases},
};

#[tokio::test]
async fn bad_manifests_are_refused_with_words_that_help() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let mut failures = Vec::new();
            for case in cases(include_str!("refused.yaml")) {
                assert!(case.says.len() > 10, "{}: what must the answer say?", case.title);
                if let Err(failure) = is_refused(objects, &case).await {
                    failures.push(format!("{}: {failure}", case.title));
                }
            }
            failures
        })
        .await;
}

async fn is_refused(objects: &Objects<'_>, case: &Case) -> Result<(), String> {
    let mut answer = objects.create(&case.object()).await;
    if !case.then.is_null() {
        if !answer.is_success() {
            return Err(format!("could not be created: {}", answer.message()));
        }
        answer = objects.patch(&answer.body, "", &case.then).await;
    }
    match answer.code {
        400 | 422 if answer.message().contains(&case.says) && answer.message().contains(&case.field) => {
            Ok(())
        }
        400 | 422 => Err(format!(
            "expected {:?} about {:?}, got: {}",
            case.says,
            case.field,
            answer.message()
        )),
        code => Err(format!("was answered with {code}")),
    }
}

#[tokio::test]
async fn unusual_manifests_are_accepted_and_come_back_unchanged() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            let mut failures = Vec::new();
            for case in cases(include_str!("accepted.yaml")) {
                if let Err(failure) = is_accepted(objects, &case).await {
                    failures.push(format!("{}: {failure}", case.title));
                }
            }
            failures
        })
        .await;
}

async fn is_accepted(objects: &Objects<'_>, case: &Case) -> Result<(), String> {
    let object = case.object();
    comes_back(objects, &object).await?;
    if case.then.is_null() {
        return Ok(());
    }
    let created = objects.create(&object).await.granted();
    let answer = objects.patch(&created, "", &case.then).await;
    if answer.is_success() {
        Ok(())
    } else {
        Err(answer.message().to_owned())
    }
}

/// Creates the object: nothing of its spec is pruned, defaulted, converted or warned about.
async fn comes_back(objects: &Objects<'_>, object: &Value) -> Result<(), String> {
    let answer = objects.create(object).await;
    if !answer.is_success() {
        return Err(answer.message().to_owned());
    }
    if !answer.warnings.is_empty() {
        return Err(format!("warnings {:?}", answer.warnings));
    }
    if answer.body["spec"] != object["spec"] {
        return Err(format!("sent {} got {}", object["spec"], answer.body["spec"]));
    }
    Ok(())
}

/// The manifests of OpenKruiseGame's own articles, as they were published.
#[tokio::test]
async fn published_manifests_are_accepted_unchanged() {
    const MANIFESTS: [&str; 4] = [
        include_str!("../../../../e2e/manifests/posio.yaml"),
        include_str!("../../../../e2e/manifests/minecraft-processes.yaml"),
        include_str!("../../../../e2e/manifests/minecraft-idle.yaml"),
        include_str!("../../../../e2e/manifests/demo-gs-healthy.yaml"),
    ];
    let cluster = Cluster::connect().await;
    for manifest in MANIFESTS {
        let mut object: Value = serde_yaml::from_str(manifest).expect("manifest");
        object["metadata"]
            .as_object_mut()
            .expect("metadata")
            .remove("namespace");
        cluster
            .in_namespace(async |objects| comes_back(objects, &object).await.err().into_iter().collect())
            .await;
    }
}

/// What a rule costs at run time is limited, too, and adds up over the object.
#[tokio::test]
async fn the_largest_manifest_is_not_too_expensive_to_check() {
    let cluster = Cluster::connect().await;
    cluster
        .in_namespace(async |objects| {
            comes_back(objects, &largest_set())
                .await
                .err()
                .into_iter()
                .collect()
        })
        .await;
}

fn largest_set() -> Value {
    let name = |prefix: &str, index: usize| format!("{prefix}-{index}-{}", "x".repeat(63 - prefix.len() - 6));
    let labels = |count: usize, value: &str| -> Value {
        Value::Object(
            (0..count)
                .map(|index| (format!("gs-sync/label-{index}"), json!(value)))
                .collect::<Map<_, _>>(),
        )
    };
    let conf = |index: usize| json!({ "name": if index == 0 { "Host" } else { "ContainerPorts" }, "value": ports(index) });
    let actions: Vec<_> = (0..32)
        .map(|_| json!({ "state": true, "opsState": "y".repeat(63), "labels": labels(16, &"{{ .Result }}".repeat(9)) }))
        .collect();
    let qualities = (0..16).map(|index| {
        json!({ "name": name("quality", index), "permanent": false, "exec": { "command": ["a"] }, "serviceQualityAction": actions })
    });
    let mut set = base("set");
    set["metadata"] = json!({ "name": "s".repeat(52) });
    set["spec"]["reserveGameServerIds"] = (0..2000)
        .map(|id| json!(format!("{}-{}", id * 10, id * 10 + 5)))
        .collect();
    set["spec"]["serviceQualities"] = qualities.collect();
    set["spec"]["network"] =
        json!({ "networkType": "Kubernetes-HostPort", "networkConf": (0..64).map(conf).collect::<Vec<_>>() });
    let template = &mut set["spec"]["gameServerTemplate"];
    template["metadata"]["labels"] = labels(128, &"z".repeat(63));
    template["spec"]["containers"] = (0..64)
        .map(|index| json!({ "name": name("container", index), "image": "i".repeat(1024) }))
        .collect();
    set
}

/// As many ports of one container as fit a parameter.
fn ports(index: usize) -> String {
    let mut value = format!("container-{index}:10000/TCPUDP");
    while value.len() + 13 <= 4096 {
        value.push_str(",65535/TCPUDP");
    }
    value
}
