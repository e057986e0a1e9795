//! How a server finds game-api, and shows it which server it is.

use api_types::keys::variable;
use serde_json::{Map, Value, json};

/// The variables that [`add_environment`] writes.
pub const VARIABLES: [&str; 4] = [
    variable::SERVER_NAME,
    variable::SERVER_NAMESPACE,
    variable::API_SERVER_URL,
    variable::API_SERVER_CODE,
];

/// Gives each container of a new Pod its server's name, game-api's `url` and the Pod's own `code`; what the template says stays.
///
/// They come first, so that the template's own variables may refer to them: `$(SERVER_NAME)`. They are no part of any revision:
/// the code is another one for each Pod.
pub fn add_environment(pod: &mut Value, url: &str, code: &str) {
    let own = |pod: &Value, field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let values = [
        own(pod, "name"),
        own(pod, "namespace"),
        url.to_owned(),
        code.to_owned(),
    ];
    let Some(Value::Array(containers)) = pod.pointer_mut("/spec/containers") else {
        // The API server says what is missing, and that reaches the set's condition.
        return;
    };
    for container in containers.iter_mut().filter_map(Value::as_object_mut) {
        let known = match container.remove("env") {
            Some(Value::Array(known)) => known,
            None | Some(Value::Null) => Vec::new(),
            Some(strange) => {
                container.insert("env".into(), strange);
                continue;
            }
        };
        let added = VARIABLES
            .iter()
            .zip(&values)
            .filter(|(name, _)| !known.iter().any(|variable| variable["name"] == **name))
            .map(|(name, value)| json!({ "name": name, "value": value }));
        let env: Vec<Value> = added.chain(known.iter().cloned()).collect();
        container.insert("env".into(), Value::Array(env));
    }
}

/// Takes what [`add_environment`] added off a Pod's spec, so that it can be compared with the template it was made from.
pub(super) fn drop_environment(template: &Map<String, Value>, pod: &mut Map<String, Value>) {
    let says = |container: Option<&Value>, variable: &Value| {
        let mut containers = template
            .get("containers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let of_template = containers.find(|found| found.get("name") == container);
        of_template
            .and_then(|found| found.get("env")?.as_array())
            .is_some_and(|env| env.iter().any(|known| known.get("name") == variable.get("name")))
    };
    let containers = pod.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        let name = container.get("name").cloned();
        super::live::retain(container, "env", |variable| {
            let ours = variable
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| VARIABLES.contains(&name));
            !ours || says(name.as_ref(), variable)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decorated(containers: &Value) -> Value {
        let mut pod = json!({ "metadata": { "name": "arena-3", "namespace": "games" }, "spec": { "containers": containers } });
        add_environment(&mut pod, "https://game-api:8443", "gk1_code");
        pod["spec"]["containers"].clone()
    }

    fn names(container: &Value) -> Vec<String> {
        let env = container["env"].as_array().unwrap();
        env.iter()
            .map(|variable| variable["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_container_gets_all_four_before_its_own() {
        let containers = decorated(&json!([
            { "name": "game", "env": [{ "name": "HELLO", "value": "I am $(SERVER_NAME)" }] },
            { "name": "sidecar", "env": null },
        ]));
        assert_eq!(
            containers[0]["env"],
            json!([
                { "name": "SERVER_NAME", "value": "arena-3" },
                { "name": "SERVER_NAMESPACE", "value": "games" },
                { "name": "API_SERVER_URL", "value": "https://game-api:8443" },
                { "name": "API_SERVER_CODE", "value": "gk1_code" },
                { "name": "HELLO", "value": "I am $(SERVER_NAME)" },
            ])
        );
        assert_eq!(names(&containers[1]), VARIABLES);
    }

    #[test]
    fn what_the_template_says_stays() {
        let own =
            json!({ "name": "SERVER_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } });
        let containers = decorated(&json!([{ "name": "game", "env": [own] }]));
        assert_eq!(
            names(&containers[0]),
            [
                "SERVER_NAMESPACE",
                "API_SERVER_URL",
                "API_SERVER_CODE",
                "SERVER_NAME"
            ]
        );
        assert_eq!(containers[0]["env"][3], own);
    }

    #[test]
    fn what_is_no_pod_is_left_for_the_api_server_to_refuse() {
        let mut pod = json!({ "metadata": {}, "spec": {} });
        add_environment(&mut pod, "u", "c");
        assert_eq!(pod, json!({ "metadata": {}, "spec": {} }));
        assert_eq!(
            decorated(&json!([{ "name": "game", "env": "A=b" }]))[0]["env"],
            "A=b"
        );
    }
}
