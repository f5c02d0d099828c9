//! The raw hot calls: numbers, strings and bytes in, one engine call, a number or boolean out.

use gneiss_core::{AnswerFault, ChunkOutcome, HeadFault, Id, Reply, TakenBody, transcode_utf8};

use crate::driver::Driver;
use crate::env::{EnvState, Scratch};
use crate::error::throw_fault;
use crate::sys::{ARGUMENTS, HotCall, Scope, Value};
use crate::threads;

/// `Flag.done` of `native.ts`.
const DONE: u32 = 1;
/// `Flag.last` of `native.ts`.
const LAST: u32 = 2;

type Arguments<'s> = [Value<'s>; ARGUMENTS];

/// Exports every hot call.
pub(crate) fn export<'s>(scope: &Scope<'s>, exports: Value<'s>) {
    scope.export::<Chunk>(exports);
    scope.export::<End>(exports);
    scope.export::<Extend>(exports);
    scope.export::<Reset>(exports);
    scope.export::<Respond>(exports);
    scope.export::<Start>(exports);
    scope.export::<TakeBody>(exports);
    scope.export::<GiveTurn>(exports);
}

struct Respond;

impl HotCall for Respond {
    const NAME: &'static std::ffi::CStr = c"respond";

    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        let [id, status, fields, count, body, flags] = *arguments;
        let (id, status) = (Id::from_f64(scope.read_f64(id)), status_of(scope, status));
        let wants_done = integer(scope, flags) & DONE != 0;
        let mut scratch = state.scratch.borrow_mut();
        let Scratch {
            fields: text,
            body: body_text,
        } = &mut *scratch;
        let outcome = match read_reply(scope, status, fields, count, text) {
            Ok(reply) => with_body(scope, body, body_text, |bytes| {
                state
                    .with_answers(id, |answers| answers.respond(id, &reply, bytes, wants_done))
                    .unwrap_or(Err(AnswerFault::Gone))
            }),
            Err(fault) => Some(Err(AnswerFault::Head(fault))),
        };
        // Throwing sets `code`, for which the application may have put a setter on a prototype.
        drop(scratch);
        match outcome {
            Some(Ok(())) => Some(scope.boolean(true)),
            Some(Err(AnswerFault::Gone)) => Some(scope.boolean(false)),
            Some(Err(fault)) => refuse(scope, fault),
            None => refuse_body(scope),
        }
    }
}

struct Start;

impl HotCall for Start {
    const NAME: &'static std::ffi::CStr = c"start";

    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        let [id, status, fields, count, ..] = *arguments;
        let (id, status) = (Id::from_f64(scope.read_f64(id)), status_of(scope, status));
        let mut scratch = state.scratch.borrow_mut();
        let text = &mut scratch.fields;
        let outcome = match read_reply(scope, status, fields, count, text) {
            Ok(reply) => state
                .with_answers(id, |answers| answers.start(id, &reply))
                .unwrap_or(Err(AnswerFault::Gone)),
            Err(fault) => Err(AnswerFault::Head(fault)),
        };
        drop(scratch);
        match outcome {
            Ok(()) => Some(scope.boolean(true)),
            Err(AnswerFault::Gone) => Some(scope.boolean(false)),
            Err(fault) => refuse(scope, fault),
        }
    }
}

struct Chunk;

impl HotCall for Chunk {
    const NAME: &'static std::ffi::CStr = c"chunk";

    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        let [id, data, flags, ..] = *arguments;
        let (id, flags) = (Id::from_f64(scope.read_f64(id)), integer(scope, flags));
        let mut scratch = state.scratch.borrow_mut();
        let text = &mut scratch.body;
        let outcome = with_body(scope, data, text, |bytes| {
            state
                .with_answers(id, |answers| {
                    answers.chunk(id, bytes, flags & LAST != 0, flags & DONE != 0)
                })
                .unwrap_or(Ok(ChunkOutcome::Gone))
        });
        drop(scratch);
        match outcome {
            // Nearly always, and `undefined` is the one answer that has not to be made.
            Some(Ok(ChunkOutcome::Room)) => None,
            Some(Ok(outcome)) => Some(scope.uint32(outcome as u32)),
            Some(Err(fault)) => refuse(scope, fault),
            None => refuse_body(scope),
        }
    }
}

struct End;

impl HotCall for End {
    const NAME: &'static std::ffi::CStr = c"end";

    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        let [id, flags, trailers, count, ..] = *arguments;
        let (id, flags) = (Id::from_f64(scope.read_f64(id)), integer(scope, flags));
        let wants_done = flags & DONE != 0;
        if scope.is_nothing(trailers) {
            let outcome = state.with_answers(id, |answers| answers.end(id, wants_done));
            return Some(scope.uint32(outcome.unwrap_or(ChunkOutcome::Gone) as u32));
        }
        let mut scratch = state.scratch.borrow_mut();
        let text = &mut scratch.fields;
        let outcome = match read_reply(scope, 0, trailers, count, text) {
            Ok(Reply { fields, count, .. }) => state
                .with_answers(id, |answers| {
                    answers.end_with_trailers(id, fields, count, wants_done)
                })
                .unwrap_or(Err(AnswerFault::Gone)),
            Err(fault) => Err(AnswerFault::Head(fault)),
        };
        drop(scratch);
        match outcome {
            Ok(outcome) => Some(scope.uint32(outcome as u32)),
            Err(AnswerFault::Gone) => Some(scope.uint32(ChunkOutcome::Gone as u32)),
            Err(fault) => refuse(scope, fault),
        }
    }
}

struct Reset;

impl HotCall for Reset {
    const NAME: &'static std::ffi::CStr = c"reset";

    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        let id = Id::from_f64(scope.read_f64(arguments[0]));
        Some(
            scope.boolean(
                state
                    .with_answers(id, |answers| answers.reset(id))
                    .unwrap_or(false),
            ),
        )
    }
}

struct TakeBody;

impl HotCall for TakeBody {
    const NAME: &'static std::ffi::CStr = c"takeBody";

    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        let id = Id::from_f64(scope.read_f64(arguments[0]));
        let taken = state.with_answers(id, |answers| answers.take_body(id));
        match taken.unwrap_or(TakenBody::None(gneiss_core::BodyOutcome::Gone)) {
            TakenBody::None(outcome) => Some(scope.uint32(outcome as u32)),
            TakenBody::Bytes(bytes) => {
                // The buffer is out of the engine here: allocating in the isolate may collect garbage.
                let array = scope.bytes(&bytes);
                state.with_answers(id, |answers| answers.recycle(bytes));
                array
            }
        }
    }
}

struct Extend;

impl HotCall for Extend {
    const NAME: &'static std::ffi::CStr = c"extend";

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float casts saturate"
    )]
    fn call<'s>(
        scope: &Scope<'s>,
        arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        let [id, milliseconds, ..] = *arguments;
        let (id, milliseconds) = (
            Id::from_f64(scope.read_f64(id)),
            scope.read_f64(milliseconds) as u64,
        );
        // The whole meaning of this call is a time.
        state.with_driver(Driver::be_on_time);
        let is_open = state
            .with_answers(id, |answers| answers.extend(id, milliseconds))
            .unwrap_or(false);
        Some(scope.boolean(is_open))
    }
}

struct GiveTurn;

impl HotCall for GiveTurn {
    const NAME: &'static std::ffi::CStr = c"giveTurn";

    fn call<'s>(
        _scope: &Scope<'s>,
        _arguments: &Arguments<'s>,
        state: &EnvState,
    ) -> Option<Value<'s>> {
        threads::on_turn(state);
        None
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float casts saturate, NaN is 0"
)]
fn integer<'s>(scope: &Scope<'s>, value: Value<'s>) -> u32 {
    scope.read_f64(value) as u32
}

/// A status that is no integer in range becomes 0, which the encoder refuses.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range was checked"
)]
fn status_of<'s>(scope: &Scope<'s>, value: Value<'s>) -> u16 {
    let number = scope.read_f64(value);
    if (0.0..1000.0).contains(&number) && number.fract() == 0.0 {
        number as u16
    } else {
        0
    }
}

/// Header text: read as UTF-8 and transcoded, because Node-API's own Latin-1 read folds U+010A
/// into a line feed.
fn read_reply<'s, 't>(
    scope: &Scope<'s>,
    status: u16,
    fields: Value<'s>,
    count: Value<'s>,
    text: &'t mut Vec<u8>,
) -> Result<Reply<'t>, HeadFault> {
    text.clear();
    if !scope.read_utf8(fields, text) {
        return Err(HeadFault::Count);
    }
    let length = transcode_utf8(text)?;
    text.truncate(length);
    Ok(Reply {
        status,
        fields: text,
        count: integer(scope, count) as usize,
    })
}

/// Lends the bytes of a body: a string as UTF-8, a `Uint8Array` as it is, nothing as no bytes.
/// `None` for anything else.
fn with_body<'s, R>(
    scope: &Scope<'s>,
    body: Value<'s>,
    text: &mut Vec<u8>,
    send: impl FnOnce(&[u8]) -> R,
) -> Option<R> {
    text.clear();
    if scope.read_utf8(body, text) {
        let result = send(text);
        if text.capacity() > SCRATCH_KEPT {
            *text = Vec::new();
        }
        return Some(result);
    }
    // Bytes before nothing: asking for the type of an object costs as much as reading its bytes.
    match scope.read_bytes(body, send) {
        Ok(result) => Some(result),
        Err(send) => scope.is_nothing(body).then(|| send(&[])),
    }
}

fn refuse<'s>(scope: &Scope<'s>, fault: AnswerFault) -> Option<Value<'s>> {
    throw_fault(scope, fault);
    None
}

fn refuse_body<'s>(scope: &Scope<'s>) -> Option<Value<'s>> {
    scope.throw_type_error(
        c"ERR_BODY_TYPE",
        c"A body must be a string or a Uint8Array.",
    );
    None
}

/// One large string body must not be paid for with memory for ever.
const SCRATCH_KEPT: usize = 256 * 1024;
