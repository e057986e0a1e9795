use serde_json::{Value, json};

use super::*;
use crate::fixture::{pod, set, stored, view};

const CONF: [(&str, &str); 1] = [("PortProtocols", "80")];

fn service(edit: impl FnOnce(&mut Value)) -> ServiceView {
    let pod = view(&pod("Kubernetes-NodePort", &CONF));
    let observed = Observed {
        pod: Some(&pod),
        ..Observed::default()
    };
    let Step::Create(mut body) = plan(&observed).service else {
        panic!()
    };
    edit(&mut body);
    stored(&body)
}

fn planned(pod: &PodView, service: Option<&ServiceView>) -> Plan {
    let set = set();
    plan(&Observed {
        pod: Some(pod),
        set: Some(&set),
        service,
        node: Some("203.0.113.5"),
        ..Observed::default()
    })
}

fn reason(plan: &Plan) -> Reason {
    plan.report.as_ref().unwrap().problem.as_ref().unwrap().reason
}

#[test]
fn whose_a_service_is_decides_what_becomes_of_it() {
    let pod = view(&pod("Kubernetes-NodePort", &CONF));
    let owner = |kind: &'static str, name: &'static str, uid: &'static str| {
        service(|body| {
            let owner = &mut body["metadata"]["ownerReferences"][0];
            (owner["kind"], owner["name"], owner["uid"]) = (json!(kind), json!(name), json!(uid));
        })
    };
    let ours = service(|_| {});
    assert_eq!(planned(&pod, Some(&ours)).service, Step::Keep);
    for earlier in [
        owner("Pod", "arena-3", "before"),
        owner("GameServerSet", "arena", "before"),
    ] {
        let uid = "service-uid".to_owned();
        let plan = planned(&pod, Some(&earlier));
        assert_eq!((plan.service, plan.report), (Step::Delete { uid }, None));
    }
    for foreign in [
        owner("Pod", "other-3", "x"),
        owner("Deployment", "arena-3", "x"),
        service(|body| body["metadata"]["ownerReferences"] = json!([])),
    ] {
        let plan = planned(&pod, Some(&foreign));
        assert_eq!((&plan.service, reason(&plan)), (&Step::Keep, Reason::NameTaken));
    }
    let going = service(|body| body["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    let plan = planned(&pod, Some(&going));
    assert_eq!(
        (&plan.service, reason(&plan)),
        (&Step::Keep, Reason::WaitingForObjects)
    );
}

#[test]
fn a_pod_on_its_way_out_keeps_what_it_has() {
    let mut object = pod("Kubernetes-NodePort", &CONF);
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (pod, service) = (view(&object), service(|_| {}));
    assert_eq!(planned(&pod, Some(&service)), Plan::default());
    assert_eq!(planned(&pod, None), Plan::default());
    assert_eq!(plan(&Observed::default()), Plan::default());
}

#[test]
fn only_what_this_controller_has_made_is_removed_when_it_is_no_longer_wanted() {
    let mut object = pod("Kubernetes-HostPort", &[("ContainerPorts", "game:80")]);
    object["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8000}]);
    let pod = view(&object);
    let made = service(|_| {});
    let uid = "service-uid".to_owned();
    assert_eq!(planned(&pod, Some(&made)).service, Step::Delete { uid });
    let theirs = service(|body| body["metadata"]["labels"] = json!({}));
    assert_eq!(planned(&pod, Some(&theirs)).service, Step::Keep);
}

#[test]
fn an_update_in_place_may_begin_when_the_service_keeps_the_pod() {
    let allowed = [CONF[0], ("AllowNotReadyContainers", "side,game")];
    let mut object = pod("Kubernetes-NodePort", &allowed);
    let normal = planned(&view(&object), Some(&service(|_| {})));
    assert_eq!((normal.blocker, &normal.service), (Some(true), &Step::Keep));

    object["metadata"]["labels"]["game.kruise.io/inplace-update-not-ready-blocker"] = json!("true");
    object["metadata"]["labels"]["lifecycle.apps.kruise.io/state"] = json!("PreparingUpdate");
    let other = planned(&view(&object), Some(&service(|_| {})));
    assert_eq!(
        (other.blocker, &other.service),
        (Some(false), &Step::Keep),
        "another container"
    );
    object["spec"]["containers"][0]["image"] = json!("game:0");
    let waits = planned(&view(&object), Some(&service(|_| {})));
    assert_eq!(waits.blocker, None, "still held");
    let Step::Patch { body, .. } = waits.service else {
        panic!()
    };
    assert_eq!(body, json!({"spec": {"publishNotReadyAddresses": true}}));
    let publishing = service(|body| body["spec"]["publishNotReadyAddresses"] = json!(true));
    let begins = planned(&view(&object), Some(&publishing));
    assert_eq!((begins.blocker, &begins.service), (Some(false), &Step::Keep));

    object["metadata"]["labels"]["lifecycle.apps.kruise.io/state"] = json!("Updating");
    object["status"]["conditions"][0]["status"] = json!("False");
    assert_eq!(planned(&view(&object), Some(&publishing)).service, Step::Keep);
    object["status"]["conditions"][0]["status"] = json!("True");
    let Step::Patch { body, .. } = planned(&view(&object), Some(&publishing)).service else {
        panic!()
    };
    assert_eq!(body, json!({"spec": {"publishNotReadyAddresses": false}}));
}
