//! The controllers' flags as data, for the chart's schema.

use std::any::TypeId;

use clap::{Arg, ArgAction, Command, CommandFactory as _};
use serde_json::{Map, Value, json};

use crate::Cli;

/// Programs that are no controllers.
const OTHERS: [&str; 2] = ["migrate", "flags"];

/// For each controller its flags by name: `{"type", "help", "default", "values", "repeatable"}`.
pub fn of_controllers() -> Value {
    let command = Cli::command();
    let controllers = command
        .get_subcommands()
        .filter(|command| !OTHERS.contains(&command.get_name()));
    let all = controllers.map(|command| (command.get_name().to_owned(), of(command)));
    Value::Object(all.collect())
}

fn of(command: &Command) -> Value {
    let described = command
        .get_arguments()
        .filter_map(|argument| Some((argument.get_long()?.to_owned(), describe(argument))));
    Value::Object(described.collect::<Map<String, Value>>())
}

fn describe(argument: &Arg) -> Value {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let default = argument.get_default_values().first();
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    json!({
        "type": kind(argument),
        "help": help,
        "default": default.map(|value| value.to_string_lossy()),
        "values": if kind(argument) == "string" { values } else { Vec::new() },
        "repeatable": matches!(argument.get_action(), ArgAction::Append),
    })
}

/// `switch` stands alone on the command line; `boolean` takes true or false.
fn kind(argument: &Arg) -> &'static str {
    if matches!(argument.get_action(), ArgAction::SetTrue) {
        return "switch";
    }
    let id = argument.get_value_parser().type_id();
    let integers = [
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
    ];
    if integers.iter().any(|integer| id == *integer) {
        "integer"
    } else if id == TypeId::of::<bool>() {
        "boolean"
    } else {
        "string"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_the_types_that_they_take() {
        let flags = of_controllers();
        let kind = |controller: &str, flag: &str| flags[controller][flag]["type"].clone();
        assert_eq!(kind("pod-sync", "shards"), "integer");
        assert_eq!(kind("gss-controller", "concurrency"), "integer");
        assert_eq!(kind("gss-controller", "lease-duration"), "string");
        assert_eq!(kind("gss-controller", "leader-elect"), "boolean");
        assert_eq!(kind("node-watcher", "report-normal"), "switch");
        assert_eq!(flags["pod-sync"]["log-format"]["values"], json!(["json", "text"]));
        assert_eq!(flags["pod-sync"]["namespace"]["repeatable"], true);
        assert_eq!(flags["pod-sync"]["shards"]["default"], "1");
    }

    #[test]
    fn every_controller_is_there_and_each_flag_is_explained() {
        let flags = of_controllers();
        let controllers = flags.as_object().unwrap();
        assert_eq!(controllers.len(), 9);
        for (controller, flags) in controllers {
            for (flag, description) in flags.as_object().unwrap() {
                assert_ne!(description["help"], "", "{controller} --{flag}");
            }
        }
    }
}
