use proptest::prelude::*;

use super::*;

fn render(template: &str, result: &str) -> String {
    rendered(template, result).unwrap()
}

fn refusal(template: &str) -> String {
    rendered(template, "x").unwrap_err().to_string()
}

#[test]
fn the_result_is_filled_in() {
    assert_eq!(render("plain", "7"), "plain");
    assert_eq!(render("{{.Result}}", "7"), "7");
    assert_eq!(render("a-{{ .Result }}-b", "7"), "a-7-b");
    assert_eq!(render("a  {{- .Result -}}  b", "7"), "a7b");
    assert_eq!(render("{{ \"a\\\"b\" }}{{ `c` }}{{ 12 }}", "7"), "a\"bc12");
}

#[test]
fn branches_are_taken_in_order() {
    let template = r#"{{ if gt .Result "80" }}Busy{{ else if eq .Result "" }}Empty{{ else }}Idle{{ end }}"#;
    assert_eq!(render(template, "100"), "Busy");
    assert_eq!(render(template, ""), "Empty");
    assert_eq!(render(template, "9"), "Idle");
    assert_eq!(
        render("{{ if .Result }}{{ if ge .Result 5 }}a{{ end }}b{{ end }}c", "7"),
        "abc"
    );
    assert_eq!(render("{{ if .Result }}x{{ end }}", ""), "");
}

#[test]
fn functions_mean_what_they_mean_in_go() {
    let holds = |condition: &str, result: &str| {
        render(&format!("{{{{ if {condition} }}}}1{{{{ end }}}}"), result) == "1"
    };
    assert!(holds("and (gt .Result 1) (lt .Result 10)", "9"));
    assert!(!holds("and (gt .Result 1) (lt .Result 10)", "10"));
    assert!(holds("or (eq .Result \"a\") (eq .Result \"b\")", "b"));
    assert!(holds("not (eq .Result \"a\")", "b"));
    assert!(holds("ne .Result \"a\"", "b"));
    assert!(holds("lt .Result \"10\"", "9") && !holds("lt .Result \"x\"", "y"));
    assert!(holds("lt .Result \"b\"", "a") && holds("le .Result \"inf\"", "ind"));
    // The first operand that decides, not its truth.
    assert_eq!(render("{{ or .Result \"none\" }}", ""), "none");
    assert_eq!(render("{{ and .Result \"some\" }}", "x"), "some");
    assert_eq!(render("{{ eq .Result \"x\" }}", "x"), "true");
}

#[test]
fn what_is_not_available_is_named() {
    for (template, named) in [
        ("{{ range .Result }}{{ end }}", "`range`"),
        ("{{ printf \"%s\" .Result }}", "`printf`"),
        ("{{ $x := .Result }}", "`$x`"),
        ("{{ .Result | len }}", "`|`"),
        ("{{ .Results }}", "`.Results`"),
        ("{{ . }}", "`.`"),
        ("{{/* hm */}}", "`/*`"),
        ("{{ eq .Result true }}", "`true`"),
        ("{{ eq .Result 'a' }}", "`'a'`"),
        ("{{ \"\\x\" }}", "`\\x`"),
    ] {
        let refusal = refusal(template);
        assert!(
            refusal.starts_with(&format!("{named} is not available")),
            "{template}: {refusal}"
        );
    }
}

#[test]
fn what_is_incomplete_is_said() {
    for (template, said) in [
        ("{{ .Result", "without its }}"),
        ("{{ }}", "missing"),
        ("{{ if .Result }}x", "if without its end"),
        ("{{ end }}", "without its if"),
        (
            "{{ if .Result }}a{{ else }}b{{ else }}c{{ end }}",
            "no end follows",
        ),
        ("{{ eq .Result }}", "eq takes two operands, not 1"),
        ("{{ not }}", "not takes one operand, not 0"),
        ("{{ .Result .Result }}", ".Result is one too many"),
        ("{{ (eq .Result \"a\" }}", "( without its )"),
        ("{{ .Result ) }}", ") without its ("),
        ("{{ and eq .Result \"a\" }}", "`eq` cannot be at this place"),
        ("{{ \"a }}", "closing quote"),
        ("{{ eq (eq .Result \"a\") \"b\" }}", "not the outcome of another"),
    ] {
        assert!(
            refusal(template).contains(said),
            "{template}: {}",
            refusal(template)
        );
    }
    assert!(refusal(&format!("{{{{ {}.Result }}}}", "(".repeat(5_000))).contains("too many parentheses"));
    assert!(refusal(&"{{ if .Result }}".repeat(5_000)).contains("too many ifs"));
}

/// A tree of comparisons with the text of its template and its value, worked out on the side.
fn condition() -> impl Strategy<Value = (String, bool)> {
    let texts = prop_oneof!["[a-c]{0,2}", "-?[0-9]{1,3}", "[0-9]\\.[0-9]"];
    let names = prop_oneof![
        Just("eq"),
        Just("ne"),
        Just("lt"),
        Just("le"),
        Just("gt"),
        Just("ge")
    ];
    let leaf = (names, texts.clone(), texts).prop_map(|(name, left, right)| {
        let numbers = left.parse::<f64>().ok().zip(right.parse::<f64>().ok());
        let less = numbers.map_or(left < right, |(left, right)| left < right);
        let more = numbers.map_or(left > right, |(left, right)| left > right);
        let value = match name {
            "eq" => left == right,
            "ne" => left != right,
            "lt" => less,
            "le" => !more,
            "gt" => more,
            _ => !less,
        };
        (format!("({name} {left:?} {right:?})"), value)
    });
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| (format!("(and {} {})", a.0, b.0), a.1 && b.1)),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| (format!("(or {} {})", a.0, b.0), a.1 || b.1)),
            inner.prop_map(|a| (format!("(not {})", a.0), !a.1)),
        ]
    })
}

proptest! {
    #[test]
    fn comparisons_are_as_worked_out_on_the_side((text, value) in condition()) {
        let template = format!("{{{{ if {text} }}}}yes{{{{ else }}}}no{{{{ end }}}}");
        prop_assert_eq!(render(&template, ""), if value { "yes" } else { "no" });
    }

    #[test]
    fn nothing_makes_it_panic(text in "(\\{\\{|\\}\\}|-|\\(|\\)|\"|`|if |else |end|eq |\\.Result| |[a-z0-9$|.é])*", result in ".*") {
        // What is refused is refused with a message; what is not is written without its braces.
        match rendered(&text, &result) {
            Ok(_) => {}
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_without_braces_stays_what_it_is(text in "[^{}]*", result in "[a-z]{0,5}") {
        prop_assert_eq!(&render(&text, &result), &text);
        prop_assert_eq!(render(&format!("{text}{{{{.Result}}}}"), &result), format!("{text}{result}"));
    }
}
