//! Regular expressions that several rules use, as CEL string literals.

/// A label value; empty is one.
pub(super) const LABEL_VALUE: &str = "'^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$'";

/// A DNS label: a container's, a claim's, a Service's name.
pub(super) const DNS_LABEL: &str = "'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'";

/// The name part of a condition type.
pub(super) const QUALIFIED_NAME: &str = "'^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$'";

/// A port number from 1 to 65535.
pub(super) const PORT: &str =
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// What a whole number of at least 0, or a string of digits, looks like.
pub(super) const PRIORITY: &str = "type(self) == int ? self >= 0 : self.matches('^[0-9]{1,18}$')";
