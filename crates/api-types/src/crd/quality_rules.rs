//! Bounds and rules of service qualities.

use serde_json::json;

use super::{
    game_server_rules::{OPS_STATE_MESSAGE, PRIORITY_MESSAGE, containers},
    patterns::{DNS_LABEL, LABEL_VALUE, PRIORITY, QUALIFIED_NAME},
    rule::{Node, at},
};

const PATH: &str = "spec.serviceQualities";
/// Long enough for a template such as `{{ if gt .Result "80" }}Busy{{ else }}Idle{{ end }}`.
const TEMPLATE_LENGTH: u32 = 128;

pub(super) fn nodes() -> Vec<Node> {
    let item = format!("{PATH}[]");
    let mut nodes = vec![
        at(PATH).max_items(16).rule(
            "self.all(q, self.exists_one(o, o.name == q.name))",
            "service qualities must have different names: rename one of them",
        ),
        at(&item).rule(
            "[has(self.exec), has(self.httpGet), has(self.tcpSocket), has(self.grpc)].exists_one(given, given)",
            "a service quality has exactly one probe: give one of exec, httpGet, tcpSocket and grpc",
        ),
        at(&format!("{item}.name")).max_length(63).rule(
            &format!("self.matches({QUALIFIED_NAME})"),
            "name becomes part of Pod condition game.kruise.io/<name>: use letters, digits, '-', '_' and '.', for example healthy",
        ),
        at(&format!("{item}.containerName")).max_length(63).rule(
            &format!("self == '' || self.matches({DNS_LABEL})"),
            "containerName is the name of a container of the template: lower-case letters, digits and '-'",
        ),
    ];
    // 0 stands for the default, as it does in OpenKruiseGame.
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        nodes.push(at(&format!("{item}.{field}")).range(0, 86_400));
    }
    nodes.extend(handlers(&item));
    nodes.extend(actions(&format!("{item}.serviceQualityAction")));
    nodes
}

fn handlers(item: &str) -> Vec<Node> {
    let port_rule = "type(self) == int ? self >= 1 && self <= 65535 : self.matches('^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$')";
    let port_message =
        "port is a number from 1 to 65535 (8080), or the name of a port of the container (\"health\")";
    vec![
        at(&format!("{item}.exec")).rule(
            "has(self.command) && self.command.size() > 0",
            "exec needs a command, for example command: [\"bash\", \"./probe.sh\"]",
        ),
        at(&format!("{item}.exec.command")).max_items(64),
        at(&format!("{item}.exec.command[]")).max_length(8192),
        at(&format!("{item}.httpGet")).rule(
            "!has(self.host) || self.host == ''",
            "httpGet always goes to the server's own Pod: remove host",
        ),
        at(&format!("{item}.httpGet.host")).max_length(253),
        at(&format!("{item}.httpGet.path")).max_length(2048),
        at(&format!("{item}.httpGet.scheme")).set("enum", json!(["", "HTTP", "HTTPS"])),
        at(&format!("{item}.httpGet.httpHeaders")).max_items(32),
        at(&format!("{item}.httpGet.httpHeaders[].name")).max_length(256),
        at(&format!("{item}.httpGet.httpHeaders[].value")).max_length(8192),
        at(&format!("{item}.httpGet.port"))
            .max_length(15)
            .rule(port_rule, port_message),
        at(&format!("{item}.tcpSocket")).rule(
            "!has(self.host) || self.host == ''",
            "tcpSocket always goes to the server's own Pod: remove host",
        ),
        at(&format!("{item}.tcpSocket.host")).max_length(253),
        at(&format!("{item}.tcpSocket.port"))
            .max_length(15)
            .rule(port_rule, port_message),
        at(&format!("{item}.grpc.port")).range(1, 65_535),
        at(&format!("{item}.grpc.service")).max_length(253),
    ]
}

/// Functions of Go's templates that people might try, a variable, or a pipe, before the first quote: in quotes they are text.
/// The prober refuses the others: the API server bounds what a rule may cost, and a longer expression costs more.
const FOREIGN: &str = r#"'\\{\\{[^}"`]*(\\b(range|with|printf?|index|slice|len|template)\\b|[$|])'"#;
const FOREIGN_MESSAGE: &str = "a template knows .Result, texts in quotes, if, else, end, eq, ne, lt, le, gt, ge, and, or, not: other functions, \
     variables and pipes are not available";

/// A rule about templates, on a value that may be a number.
fn usable(path: &str, also_number: bool) -> Node {
    let number = if also_number { "type(self) == int || " } else { "" };
    at(path).rule(&format!("{number}!self.matches({FOREIGN})"), FOREIGN_MESSAGE)
}

fn actions(path: &str) -> Vec<Node> {
    let item = format!("{path}[]");
    let templated = |rule: &str| format!("{rule} || self.contains('{{{{')");
    let mut nodes = vec![
        at(path).max_items(32),
        at(&format!("{item}.result")).max_length(1024),
        at(&format!("{item}.opsState"))
            .max_length(TEMPLATE_LENGTH)
            .rule(&templated(&format!("(self.size() <= 63 && self.matches({LABEL_VALUE}))")), OPS_STATE_MESSAGE),
        at(&format!("{item}.labels")).max_properties(16),
        at(&format!("{item}.labels{{}}")).max_length(TEMPLATE_LENGTH).rule(
            &templated(&format!("(self.size() <= 63 && self.matches({LABEL_VALUE}))")),
            "a label value has at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit",
        ),
        at(&format!("{item}.annotations")).max_properties(16),
        at(&format!("{item}.annotations{{}}")).max_length(8192),
    ];
    nodes.push(usable(&format!("{item}.opsState"), false));
    nodes.push(usable(&format!("{item}.labels{{}}"), false));
    for field in ["updatePriority", "deletionPriority"] {
        nodes.push(usable(&format!("{item}.{field}"), true));
        nodes.push(
            at(&format!("{item}.{field}"))
                .max_length(TEMPLATE_LENGTH)
                .rule(&templated(PRIORITY), PRIORITY_MESSAGE),
        );
    }
    nodes.extend(
        containers(&format!("{item}.containers"))
            .into_iter()
            .map(Node::without_rules),
    );
    nodes
}
