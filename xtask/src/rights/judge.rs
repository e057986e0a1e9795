//! Whether what was asked for and what is granted are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::audit::{Request, Who};
use super::exceptions::{Exceptions, Reasons, reasons};
use super::granted::Granted;
use crate::rbac::Grant;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// The API server refused it, and no role allows it.
    Refused(String, String),
    /// Somebody else's rights allowed it; its own would not.
    NotGranted(String, String),
    /// Granted, and nothing used it.
    Unused(String, String),
    /// Said to be unused, and used.
    UsedAfterAll(String, String),
    /// Said to be refused, and nobody tried.
    NotTried(String, String),
    /// A reason for something that is not granted.
    NoSuchRight(String, String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(who, right) => write!(f, "{who} was refused: {right}"),
            Self::NotGranted(who, right) => write!(f, "{who} did, and is not granted: {right}"),
            Self::Unused(who, right) => write!(f, "{who} is granted, and never used: {right}"),
            Self::UsedAfterAll(who, right) => {
                write!(f, "{who} has a reason not to use, and used: {right}")
            }
            Self::NotTried(who, right) => {
                write!(f, "{who} is said to be refused, and never tried: {right}")
            }
            Self::NoSuchRight(who, right) => write!(f, "{who} has a reason, and no right: {right}"),
        }
    }
}

/// How many of an account's rights were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// What it may do.
    pub(super) granted: usize,
    /// What of that was used.
    pub(super) used: usize,
    /// What was not, and has a reason.
    pub(super) excused: usize,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What is not as it should be.
    pub(super) findings: BTreeSet<Finding>,
    /// Each account's rights.
    pub(super) counts: BTreeMap<String, Count>,
}

/// Compares. What was not used is judged only where the requests are those of all runs (`complete`).
pub(super) fn judge<'a>(
    requests: impl IntoIterator<Item = &'a Request>,
    granted: &Granted,
    exceptions: &Exceptions,
    complete: bool,
) -> Judgement {
    let (unused, refused) = (reasons(&exceptions.unused), reasons(&exceptions.refused));
    let seldom = reasons(&exceptions.seldom);
    let mut seen = Seen::default();
    for request in requests {
        seen.look(request, granted, &refused);
    }
    let mut findings = seen.findings;
    findings.extend(stale(granted, &unused));
    findings.extend(stale(granted, &seldom));
    if complete {
        let expected = refused
            .keys()
            .map(|(account, right)| ((*account).to_owned(), (*right).to_owned()));
        let missing = expected.filter(|attempt| !seen.tried.contains(attempt));
        findings.extend(missing.map(|(account, right)| Finding::NotTried(account, right)));
    }
    let mut counts = BTreeMap::new();
    for (account, grants) in granted {
        let is_used = |grant: &Grant| seen.used.contains(&(account.as_str(), grant));
        let has = |reasons: &Reasons<'_>, right: &str| reasons.contains_key(&(account.as_str(), right));
        let mut count = Count::default();
        for grant in grants {
            let right = grant.to_string();
            let used = is_used(grant);
            let never = has(&unused, &right);
            let excused = never || has(&seldom, &right);
            count.granted += 1;
            count.used += usize::from(used);
            count.excused += usize::from(excused && !used);
            if used && never {
                findings.insert(Finding::UsedAfterAll(account.clone(), right));
            } else if complete && !used && !excused {
                findings.insert(Finding::Unused(account.clone(), right));
            }
        }
        counts.insert(account.clone(), count);
    }
    Judgement { findings, counts }
}

/// What the requests say.
#[derive(Default)]
struct Seen<'a> {
    findings: BTreeSet<Finding>,
    used: BTreeSet<(&'a str, &'a Grant)>,
    tried: BTreeSet<(String, String)>,
}

impl<'a> Seen<'a> {
    fn look(&mut self, request: &Request, granted: &'a Granted, refused: &Reasons<'_>) {
        let accounts = accounts(&request.who, granted);
        let Some((first, _)) = accounts.first() else {
            return;
        };
        let right = nameless(&request.right);
        let any_name = matches!(request.who, Who::Program(_));
        let grants = accounts
            .iter()
            .flat_map(|(account, grants)| grants.iter().map(move |grant| (*account, grant)));
        let fitting: Vec<_> = grants
            .filter(|(_, grant)| allows(grant, &request.right, any_name))
            .collect();
        if request.refused {
            // An API server that has just started refuses everything until it has read the roles.
            if fitting.is_empty() && !refused.contains_key(&(*first, right.as_str())) {
                self.findings
                    .insert(Finding::Refused((*first).to_owned(), right.clone()));
            }
            self.tried.insert(((*first).to_owned(), right));
            return;
        }
        if fitting.is_empty() {
            self.findings
                .insert(Finding::NotGranted((*first).to_owned(), right));
        } else if accounts.len() == 1 {
            // Which of several it was, its name does not say.
            self.used.extend(fitting);
        }
    }
}

/// Reasons for what is not granted.
fn stale(granted: &Granted, unused: &Reasons<'_>) -> Vec<Finding> {
    let is_granted = |account: &str, right: &str| {
        let grants = granted.get(account);
        grants.is_some_and(|grants| grants.iter().any(|grant| grant.to_string() == right))
    };
    unused
        .keys()
        .filter(|(account, right)| !is_granted(account, right))
        .map(|(account, right)| Finding::NoSuchRight((*account).to_owned(), (*right).to_owned()))
        .collect()
}

/// The accounts that a request may have been of: one program may run under several, whose names begin with its own.
fn accounts<'a>(who: &Who, granted: &'a Granted) -> Vec<(&'a str, &'a BTreeSet<Grant>)> {
    let is_of = |account: &str| match who {
        Who::Account(name) => account == name,
        Who::Program(name) => {
            let rest = account.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        }
    };
    let all = granted.iter().map(|(account, grants)| (account.as_str(), grants));
    all.filter(|(account, _)| is_of(account)).collect()
}

/// Whether `grant` allows what needs `right`. With somebody else's rights a test names objects as it likes.
fn allows(grant: &Grant, right: &Grant, any_name: bool) -> bool {
    let same = (&grant.group, &grant.resource, &grant.verb) == (&right.group, &right.resource, &right.verb);
    same && (any_name || grant.name.is_empty() || grant.name == right.name)
}

fn nameless(right: &Grant) -> String {
    let right = Grant {
        name: String::new(),
        ..right.clone()
    };
    right.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(verb: &str, resource: &str, name: &str) -> Grant {
        Grant {
            group: String::new(),
            resource: resource.into(),
            verb: verb.into(),
            name: name.into(),
        }
    }

    fn granted() -> Granted {
        let of = |grants: &[Grant]| grants.iter().cloned().collect::<BTreeSet<_>>();
        Granted::from([
            (
                "sync".into(),
                of(&[grant("list", "pods", ""), grant("update", "leases", "sync")]),
            ),
            ("prober".into(), of(&[grant("list", "pods", "")])),
            (
                "prober-node".into(),
                of(&[grant("list", "pods", ""), grant("get", "nodes", "")]),
            ),
        ])
    }

    fn request(who: Who, right: Grant) -> Request {
        Request {
            who,
            right,
            refused: false,
        }
    }

    fn by(account: &str, verb: &str, resource: &str, name: &str) -> Request {
        request(Who::Account(account.into()), grant(verb, resource, name))
    }

    /// Each right used once, as it should be.
    fn run() -> Vec<Request> {
        vec![
            by("sync", "list", "pods", ""),
            by("sync", "update", "leases", "sync"),
            by("prober", "list", "pods", ""),
            by("prober-node", "list", "pods", ""),
            by("prober-node", "get", "nodes", "a"),
        ]
    }

    fn exceptions(unused: &str, refused: &str) -> Exceptions {
        Exceptions::parse(&format!("unused: [{unused}]\nseldom: []\nrefused: [{refused}]\n")).unwrap()
    }

    fn findings(requests: &[Request], exceptions: &Exceptions) -> Vec<String> {
        let judgement = judge(requests, &granted(), exceptions, true);
        judgement.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_used_is_what_is_granted() {
        let judgement = judge(&run(), &granted(), &Exceptions::default(), true);
        assert_eq!(judgement.findings, BTreeSet::new());
        let sync = Count {
            granted: 2,
            used: 2,
            excused: 0,
        };
        assert_eq!(judgement.counts["sync"], sync);
    }

    #[test]
    fn each_right_that_is_missing_or_left_over_is_found() {
        let mut one_less = run();
        one_less.remove(1);
        let none = Exceptions::default();
        assert_eq!(
            findings(&one_less, &none),
            ["sync is granted, and never used: update leases sync"]
        );
        assert_eq!(
            judge(&one_less, &granted(), &none, false).findings,
            BTreeSet::new()
        );

        let mut one_more = run();
        one_more.push(by("sync", "get", "nodes", "a"));
        assert_eq!(
            findings(&one_more, &none),
            ["sync did, and is not granted: get nodes"]
        );

        let mut refused = run();
        refused.push(Request {
            refused: true,
            ..by("sync", "get", "nodes", "a")
        });
        assert_eq!(findings(&refused, &none), ["sync was refused: get nodes"]);
    }

    #[test]
    fn what_is_granted_may_be_refused_at_first_and_is_not_used_by_that() {
        let mut refused = run();
        refused[1].refused = true;
        assert_eq!(
            findings(&refused, &Exceptions::default()),
            ["sync is granted, and never used: update leases sync"]
        );
        refused.push(by("sync", "update", "leases", "sync"));
        assert_eq!(findings(&refused, &Exceptions::default()), [""; 0]);
    }

    #[test]
    fn a_right_with_a_name_is_used_by_requests_of_that_name() {
        let mut other = run();
        other[1] = by("sync", "update", "leases", "other");
        let found = findings(&other, &Exceptions::default());
        assert_eq!(found.len(), 2, "{found:?}");
        // A test that runs it as an administrator gives its lease another name.
        other[1] = request(Who::Program("sync".into()), grant("update", "leases", "other"));
        assert_eq!(findings(&other, &Exceptions::default()), [""; 0]);
    }

    #[test]
    fn a_program_of_several_accounts_may_what_one_of_them_may_and_counts_for_none() {
        let program = |verb, resource| request(Who::Program("prober".into()), grant(verb, resource, ""));
        let mut requests = run();
        requests.push(program("get", "nodes"));
        assert_eq!(findings(&requests, &Exceptions::default()), [""; 0]);
        requests.remove(4);
        assert_eq!(
            findings(&requests, &Exceptions::default()),
            ["prober-node is granted, and never used: get nodes"]
        );
        requests.push(program("patch", "nodes"));
        assert_eq!(findings(&requests, &Exceptions::default()).len(), 2);
    }

    #[test]
    fn strangers_are_nobodys() {
        let mut requests = run();
        requests.push(by("operator", "delete", "nodes", "a"));
        requests.push(request(
            Who::Program("kubectl".into()),
            grant("delete", "nodes", "a"),
        ));
        assert_eq!(findings(&requests, &Exceptions::default()), [""; 0]);
    }

    #[test]
    fn a_reason_excuses_what_is_unused_and_is_itself_wrong_when_it_is_not() {
        let reason = exceptions(
            "{accounts: [sync], rights: [update leases sync], why: because}",
            "",
        );
        let mut one_less = run();
        one_less.remove(1);
        assert_eq!(findings(&one_less, &reason), [""; 0]);
        assert_eq!(
            findings(&run(), &reason),
            ["sync has a reason not to use, and used: update leases sync"]
        );
        let stale = exceptions("{accounts: [sync], rights: [update nodes], why: because}", "");
        assert_eq!(
            findings(&run(), &stale),
            ["sync has a reason, and no right: update nodes"]
        );
    }

    #[test]
    fn what_is_used_seldom_may_be_used_or_not() {
        let entry = "{accounts: [sync], rights: [update leases sync], why: a race}";
        let seldom = Exceptions::parse(&format!("unused: []\nseldom: [{entry}]\nrefused: []\n")).unwrap();
        assert_eq!(findings(&run(), &seldom), [""; 0]);
        let mut one_less = run();
        one_less.remove(1);
        assert_eq!(findings(&one_less, &seldom), [""; 0]);
    }

    #[test]
    fn what_is_tried_on_purpose_is_refused_and_has_to_be_tried() {
        let purpose = exceptions("", "{accounts: [sync], rights: [get nodes], why: a test}");
        assert_eq!(
            findings(&run(), &purpose),
            ["sync is said to be refused, and never tried: get nodes"]
        );
        let mut tried = run();
        tried.push(Request {
            refused: true,
            ..by("sync", "get", "nodes", "a")
        });
        assert_eq!(findings(&tried, &purpose), [""; 0]);
        // And were it allowed, it would be a right too many.
        tried.push(by("sync", "get", "nodes", "a"));
        assert_eq!(
            findings(&tried, &purpose),
            ["sync did, and is not granted: get nodes"]
        );
    }
}
