//! Manifests that must be refused, and manifests that must not.

use serde_json::Value;

use crate::{
    cluster::{Cluster, Objects},
    objects::{Case, cases},
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
