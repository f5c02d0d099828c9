//! Kinds of the engine to codes of `errors.ts`; nothing else.

use std::ffi::CStr;

use gneiss_core::{AnswerFault, HeadFault};

use crate::sys::Scope;

/// A code of `errors.ts`, as napi's errors want it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    /// An address could not be bound.
    Bind,
    /// Something inside failed.
    Native,
    /// An option's value is not allowed.
    Option,
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        match self {
            Self::Bind => "ERR_BIND",
            Self::Native => "ERR_NATIVE",
            Self::Option => "ERR_OPTION",
        }
    }
}

/// What a call of JavaScript fails with.
pub(crate) type Failure = napi::Error<Code>;

/// Something inside failed.
pub(crate) fn native_failure(reason: impl Into<String>) -> Failure {
    napi::Error::new(Code::Native, reason.into())
}

/// A fault of the application, thrown at its call.
pub(crate) fn throw_fault(scope: &Scope<'_>, fault: AnswerFault) {
    let (code, message): (&CStr, &CStr) = match fault {
        AnswerFault::BodyTooLong => {
            (c"ERR_BODY_LENGTH", c"The body is longer than its content-length.")
        }
        AnswerFault::Gone => (c"ERR_CLIENT_DISCONNECTED", c"The client has disconnected."),
        AnswerFault::Head(HeadFault::ContentLength { .. }) => (
            c"ERR_BODY_LENGTH",
            c"content-length must occur once, be a number, and match the body.",
        ),
        AnswerFault::Head(HeadFault::Count) => {
            (c"ERR_HEADER_VALUE", c"A header name or value holds a line feed.")
        }
        AnswerFault::Head(HeadFault::Forbidden { .. }) => (
            c"ERR_HEADER_FORBIDDEN",
            c"The server owns transfer-encoding, keep-alive, upgrade and connection (other than close): leave them out.",
        ),
        AnswerFault::Head(HeadFault::Name { .. }) => {
            (c"ERR_HEADER_NAME", c"A header name must be a token (RFC 9110 section 5.1).")
        }
        AnswerFault::Head(HeadFault::Status) => {
            (c"ERR_STATUS", c"A response status must be an integer from 200 to 999.")
        }
        AnswerFault::Head(HeadFault::Value { .. }) => (
            c"ERR_HEADER_VALUE",
            c"A header value holds a control character, or one above U+00FF: encode it first.",
        ),
    };
    scope.throw_type_error(code, message);
}
