//! What the documentation of each plugin promises, one example after the other.

use serde_json::{Value, json};

use super::*;
use crate::{
    fixture::{pod, set, stored, view},
    plan::{Observed, Plan, Step, plan},
    ports::HeldPort,
    status,
    views::IngressView,
};

/// Makes what a plan creates, until nothing is left to do, and gives the objects and the plan at rest.
fn settle(observed: Observed<'_>) -> (Option<Value>, Option<Value>, Plan) {
    let first = plan(&observed);
    let body = |step: &Step| match step {
        Step::Create(body) => Some(body.clone()),
        Step::Keep => None,
        other => panic!("{other:?}"),
    };
    let (service, ingress) = (body(&first.service), body(&first.ingress));
    let service_view = service.as_ref().map(stored);
    let ingress_view: Option<IngressView> = ingress
        .as_ref()
        .map(|body| serde_json::from_value(body.clone()).unwrap());
    let last = plan(&Observed {
        service: service_view.as_ref(),
        ingress: ingress_view.as_ref(),
        ..observed
    });
    (service, ingress, last)
}

fn annotation(observed: &Observed<'_>, plan: &Plan) -> String {
    let now = "2026-01-01T00:00:01Z".parse().unwrap();
    status::compute(observed, plan.report.as_ref().unwrap(), now)
        .annotation
        .unwrap()
}

fn problem(type_: &str, conf: &[(&str, &str)]) -> Problem {
    let pod = view(&pod(type_, conf));
    let observed = Observed {
        pod: Some(&pod),
        node: Some("203.0.113.5"),
        ..Observed::default()
    };
    plan(&observed).report.unwrap().problem.unwrap()
}

#[test]
fn an_ingress_with_an_id_in_its_host_and_its_path() {
    for token in ["<id>", "{ID}", "{id}"] {
        let host = format!("g{token}.example.org");
        let pod = view(&pod(
            "Kubernetes-Ingress",
            &[
                ("IngressClassName", "higress"),
                ("Host", &host),
                ("Path", "/s<id>"),
                ("PathType", "Prefix"),
                ("Port", "5000"),
                ("TlsHosts", "g<id>.example.org, example.org"),
                ("TlsSecretName", "certificate"),
                ("Annotation", "nginx.ingress.kubernetes.io/rewrite-target: /$2"),
                ("Annotation", "example.org/url: http://g<id>: x"),
            ],
        ));
        let observed = Observed {
            pod: Some(&pod),
            ..Observed::default()
        };
        let (service, ingress, at_rest) = settle(observed);
        let service = service.unwrap();
        assert_eq!(
            service["spec"],
            json!({"type": "ClusterIP", "selector": {"statefulset.kubernetes.io/pod-name": "arena-3"},
                "ports": [{"name": "5000", "port": 5000, "targetPort": 5000, "protocol": "TCP"}]})
        );
        assert_eq!(service["metadata"]["name"], "arena-3");
        assert_eq!(service["metadata"]["ownerReferences"][0]["uid"], "pod-uid");
        let ingress = ingress.unwrap();
        assert_eq!(
            ingress["spec"],
            json!({"ingressClassName": "higress",
                "rules": [{"host": "g3.example.org", "http": {"paths": [{"path": "/s3", "pathType": "Prefix",
                    "backend": {"service": {"name": "arena-3", "port": {"number": 5000}}}}]}}],
                "tls": [{"hosts": ["g3.example.org", "example.org"], "secretName": "certificate"}]})
        );
        let annotations = &ingress["metadata"]["annotations"];
        assert_eq!(annotations["nginx.ingress.kubernetes.io/rewrite-target"], "/$2");
        assert_eq!(annotations["example.org/url"], "http://g3: x");
        assert_eq!(
            annotation(&observed, &at_rest),
            r#"{"internalAddresses":[{"ip":"10.0.0.7","ports":[{"name":"/s3","port":5000}]}],"externalAddresses":[{"ip":"","ports":[{"name":"/s3","port":5000}],"endPoint":"g3.example.org"}],"currentNetworkState":"Ready","createTime":null,"lastTransitionTime":null}"#
        );
    }
}

#[test]
fn paths_types_and_ports_of_an_ingress_go_together_by_their_place() {
    let conf = [
        ("Path", "/a"),
        ("Path", "/b"),
        ("Path", "/c"),
        ("PathType", "Prefix"),
        ("PathType", "Exact"),
        ("Port", "80"),
        ("Port", "81"),
    ];
    let pod = view(&pod("Kubernetes-Ingress", &conf));
    let observed = Observed {
        pod: Some(&pod),
        ..Observed::default()
    };
    let (service, ingress, _) = settle(observed);
    let paths = ingress.unwrap()["spec"]["rules"][0]["http"]["paths"].clone();
    let shown: Vec<_> = paths
        .as_array()
        .unwrap()
        .iter()
        .map(|path| {
            format!(
                "{} {} {}",
                path["path"], path["pathType"], path["backend"]["service"]["port"]["number"]
            )
        })
        .collect();
    assert_eq!(
        shown,
        [r#""/a" "Prefix" 80"#, r#""/b" "Exact" 81"#, r#""/c" "Prefix" 80"#]
    );
    assert_eq!(
        service.unwrap()["spec"]["ports"].as_array().unwrap().len(),
        2,
        "each port once"
    );
}

#[test]
fn a_node_port_for_each_port_and_protocol() {
    let pod = view(&pod(
        "Kubernetes-NodePort",
        &[("PortProtocols", "80,7777/UDP,9000/TCPUDP")],
    ));
    let observed = Observed {
        pod: Some(&pod),
        node: Some("203.0.113.5"),
        ..Observed::default()
    };
    let (service, _, at_rest) = settle(observed);
    let service = service.unwrap();
    let names: Vec<_> = service["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            format!(
                "{} {}",
                port["name"].as_str().unwrap(),
                port["protocol"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(names, ["80 TCP", "7777 UDP", "9000-tcp TCP", "9000-udp UDP"]);
    assert_eq!(service["spec"]["type"], "NodePort");
    let report = at_rest.report.unwrap();
    assert_eq!(report.problem, None);
    let external: Vec<_> = report
        .addresses
        .external
        .iter()
        .map(|address| {
            let port = &address.ports[0];
            (
                address.ip.as_str(),
                port.name.as_str(),
                port.port.as_ref().unwrap().as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        external,
        [
            ("203.0.113.5", "80", 30000),
            ("203.0.113.5", "7777", 30001),
            ("203.0.113.5", "9000", 30002),
            ("203.0.113.5", "9000", 30003)
        ]
    );
    assert_eq!(
        report.addresses.internal[1].ports[0]
            .port
            .as_ref()
            .unwrap()
            .as_i64(),
        Some(7777)
    );
}

#[test]
fn host_ports_have_one_address_inside_and_one_outside() {
    let mut object = pod(
        "Kubernetes-HostPort",
        &[("ContainerPorts", "game:7777/UDP,9000/TCPUDP")],
    );
    object["spec"]["containers"][0]["ports"] = json!([
        {"containerPort": 7777, "hostPort": 8001, "protocol": "UDP"},
        {"containerPort": 9000, "hostPort": 8000, "protocol": "TCP"},
        {"containerPort": 9000, "hostPort": 8000, "protocol": "UDP"},
        {"containerPort": 1, "protocol": "TCP"},
    ]);
    let pod = view(&object);
    let observed = Observed {
        pod: Some(&pod),
        node: Some("203.0.113.5"),
        ..Observed::default()
    };
    let (_, _, at_rest) = settle(observed);
    let report = at_rest.report.unwrap();
    let shown = |addresses: &[NetworkAddress]| {
        assert_eq!(addresses.len(), 1);
        let ports: Vec<_> = addresses[0]
            .ports
            .iter()
            .map(|port| {
                format!(
                    "{} {} {}",
                    port.name,
                    port.port.as_ref().unwrap(),
                    port.protocol.as_ref().unwrap()
                )
            })
            .collect();
        (addresses[0].ip.clone(), ports.join(", "))
    };
    assert_eq!(
        shown(&report.addresses.internal),
        (
            "10.0.0.7".into(),
            "game-7777 7777 UDP, game-9000 9000 TCP, game-9000 9000 UDP".into()
        )
    );
    assert_eq!(
        shown(&report.addresses.external),
        (
            "203.0.113.5".into(),
            "game-7777 8001 UDP, game-9000 8000 TCP, game-9000 8000 UDP".into()
        )
    );
    // Nothing stands between a host port and the players.
    object["metadata"]["labels"]["game.kruise.io/network-disabled"] = json!("true");
    let pod = view(&object);
    let report = plan(&Observed {
        pod: Some(&pod),
        ..observed
    })
    .report
    .unwrap();
    assert!(report.problem.is_none() && report.note.unwrap().contains("cannot keep players"));
}

#[test]
fn a_load_balancer_of_its_own_has_what_the_parameters_say() {
    let conf = [
        ("PortProtocols", "7777/UDP"),
        ("LoadBalancerClass", "example.org/l4"),
        ("ExternalTrafficPolicy", "Local"),
        ("AllocateLoadBalancerNodePorts", "false"),
        ("Label", "tier: g<id>"),
        ("Annotation", "example.org/name: game-<id>"),
    ];
    let pod = view(&pod("Kubernetes-LoadBalancer", &conf));
    let observed = Observed {
        pod: Some(&pod),
        ..Observed::default()
    };
    let (service, _, at_rest) = settle(observed);
    let service = service.unwrap();
    assert_eq!(service["spec"]["loadBalancerClass"], "example.org/l4");
    assert_eq!(service["spec"]["externalTrafficPolicy"], "Local");
    assert_eq!(service["spec"]["allocateLoadBalancerNodePorts"], false);
    assert_eq!(service["metadata"]["labels"]["tier"], "g3");
    assert_eq!(service["metadata"]["annotations"]["example.org/name"], "game-3");
    let problem = at_rest.report.unwrap().problem.unwrap();
    assert_eq!(problem.reason, Reason::WaitingForAddress);

    let mut answered = stored(&service);
    answered.address = Some(crate::views::Address {
        ip: Some("198.51.100.9".into()),
        hostname: Some("lb.example.org".into()),
    });
    let report = plan(&Observed {
        service: Some(&answered),
        ..observed
    })
    .report
    .unwrap();
    let outside = &report.addresses.external[0];
    assert_eq!(
        (outside.ip.as_str(), outside.end_point.as_deref()),
        ("198.51.100.9", Some("lb.example.org"))
    );
    assert_eq!(outside.ports[0].port.as_ref().unwrap().as_i64(), Some(7777));
}

fn held_for_the_example() -> Held {
    let port = |target, protocol, port| HeldPort {
        target,
        protocol,
        port,
    };
    Held {
        id: "lb-a".into(),
        ports: vec![
            port(80, Protocol::Tcp, 1001),
            port(9000, Protocol::Tcp, 1000),
            port(9000, Protocol::Udp, 1000),
        ],
    }
}

#[test]
fn a_shared_load_balancer_is_asked_for_ports_before_the_service_is_on_it() {
    let conf = [
        ("PortProtocols", "80,9000/TCPUDP"),
        ("LoadBalancerIds", "lb-a,lb-b"),
        ("IdAnnotation", "example.org/id"),
        ("MinPort", "1000"),
        ("MaxPort", "1502"),
        ("BlockPorts", "1025,1434"),
    ];
    let pod = view(&pod("Kubernetes-LoadBalancer", &conf));
    let observed = Observed {
        pod: Some(&pod),
        ..Observed::default()
    };
    let (service, _, asks) = settle(observed);
    let service = service.unwrap();
    assert_eq!(service["spec"]["type"], "ClusterIP", "no cloud's business yet");
    assert_eq!(service["metadata"]["annotations"], Value::Null);
    let wish = asks.wish.unwrap();
    assert_eq!(wish.ids, ["lb-a", "lb-b"]);
    assert_eq!(
        (wish.range.low, wish.range.high, wish.range.blocked.len()),
        (1000, 1502, 2)
    );

    let held = held_for_the_example();
    let live = stored(&service);
    let given = Observed {
        service: Some(&live),
        held: Some(&held),
        ..observed
    };
    let Step::Patch { body, .. } = plan(&given).service else {
        panic!()
    };
    assert_eq!(body["spec"]["type"], "LoadBalancer");
    assert_eq!(body["metadata"]["annotations"]["example.org/id"], "lb-a");
    let ports: Vec<_> = body["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            format!(
                "{} {}→{}",
                port["name"].as_str().unwrap(),
                port["port"],
                port["targetPort"]
            )
        })
        .collect();
    assert_eq!(ports, ["80 1001→80", "9000-tcp 1000→9000", "9000-udp 1000→9000"]);
}

#[test]
fn parameters_that_make_no_sense_are_said_in_a_sentence() {
    let ingress = |conf: &[(&str, &str)]| problem("Kubernetes-Ingress", conf);
    let whole = [("Path", "/"), ("PathType", "Prefix"), ("Port", "80")];
    for (drop, word) in [(0, "Path"), (1, "PathType"), (2, "Port")] {
        let mut conf = whole.to_vec();
        conf.remove(drop);
        let problem = ingress(&conf);
        assert_eq!(problem.reason, Reason::ParameterError);
        assert!(problem.message.contains(word), "{problem:?}");
    }
    for extra in [
        ("Host", "<id>.<id>"),
        ("Annotation", "nothing"),
        ("Fixed", "maybe"),
        ("DrainPolicy", "Perhaps"),
    ] {
        let problem = ingress(&[&whole[..], &[extra]].concat());
        assert_eq!(problem.reason, Reason::ParameterError);
        assert!(problem.message.contains(extra.0), "{problem:?}");
    }
}

#[test]
fn parameters_of_the_other_plugins_are_checked_too() {
    for conf in [
        &[][..],
        &[("PortProtocols", "x")],
        &[("PortProtocols", "SameAsHost")],
    ] {
        assert_eq!(
            problem("Kubernetes-NodePort", conf).reason,
            Reason::ParameterError
        );
    }
    for conf in [
        &[("ContainerPorts", "nobody:80")][..],
        &[("ContainerPorts", "game")],
        &[],
    ] {
        assert_eq!(
            problem("Kubernetes-HostPort", conf).reason,
            Reason::ParameterError
        );
    }
    let missing = problem("Kubernetes-HostPort", &[("ContainerPorts", "game:80")]);
    assert_eq!(missing.reason, Reason::HostPortsMissing);
    let balancer = |extra: &[(&str, &str)]| {
        problem(
            "Kubernetes-LoadBalancer",
            &[&[("PortProtocols", "80")], extra].concat(),
        )
        .reason
    };
    for extra in [
        &[("LoadBalancerIds", "a")][..],
        &[("ExternalTrafficPolicy", "None")],
        &[
            ("LoadBalancerIds", "a"),
            ("IdAnnotation", "id"),
            ("MinPort", "9"),
            ("MaxPort", "8"),
        ],
        &[
            ("LoadBalancerIds", "a"),
            ("IdAnnotation", "id"),
            ("BlockPorts", "x"),
        ],
    ] {
        assert_eq!(balancer(extra), Reason::ParameterError, "{extra:?}");
    }
    let unknown = problem("AlibabaCloud-NLB", &[]);
    assert_eq!(unknown.reason, Reason::NoSuchPlugin);
    assert!(unknown.message.contains("AlibabaCloud-NLB") && unknown.message.contains("Kubernetes-Ingress"));
}

#[test]
fn a_server_whose_set_keeps_its_objects_waits_for_the_set() {
    let conf = [("PortProtocols", "80"), ("Fixed", "true")];
    let waits = problem("Kubernetes-NodePort", &conf);
    assert_eq!(waits.reason, Reason::WaitingForSet);
    let (pod, set) = (view(&pod("Kubernetes-NodePort", &conf)), set());
    let observed = Observed {
        pod: Some(&pod),
        set: Some(&set),
        ..Observed::default()
    };
    let (service, ..) = settle(observed);
    assert_eq!(
        service.unwrap()["metadata"]["ownerReferences"][0]["uid"],
        "set-uid"
    );
}

#[test]
fn the_id_of_a_name_without_a_number_is_zero() {
    for (name, id) in [("room-12", 12), ("room-a", 0), ("a-b-7", 7)] {
        let mut object = pod("Kubernetes-HostPort", &[]);
        object["metadata"]["name"] = json!(name);
        let (pod, params) = (view(&object), Params::default());
        let server = Server {
            pod: &pod,
            params: &params,
            node: None,
            isolation: None,
            held: None,
        };
        assert_eq!(server.id(), id);
    }
}
