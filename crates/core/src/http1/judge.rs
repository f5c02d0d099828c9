//! Judges what an application hands over without writing it: for a thread that is not the connection's.

use super::answer::Reply;
use super::encode::{AnswerBody, AnswerFraming, AnswerHead, Seen, notice_trailer};
use super::field_lines::{blame, each_field};
use super::head::{METHODS, Version};
use super::head_fault::HeadFault;
use crate::exchange::Meta;

/// What of a request decides how its answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The request was HEAD.
    pub(crate) is_head: bool,
    /// Version of the request.
    pub(crate) version: Version,
}

impl Asked {
    /// What the packed facts of a request say.
    pub(crate) fn of(meta: Meta) -> Self {
        let method = usize::try_from(meta.0 & Meta::METHOD_MASK).unwrap_or(0);
        let is_old = (meta.0 >> Meta::VERSION_SHIFT) & Meta::VERSION_MASK == 0;
        Self {
            is_head: METHODS.get(method).is_some_and(|&name| name == "HEAD"),
            version: if is_old {
                Version::Http10
            } else {
                Version::Http11
            },
        }
    }
}

/// The framing that `encode_head` will choose, or the fault it would find.
pub(crate) fn judge_head(
    reply: &Reply<'_>,
    body: AnswerBody,
    asked: Asked,
) -> Result<AnswerFraming, HeadFault> {
    if !(200..=999).contains(&reply.status) {
        return Err(HeadFault::Status);
    }
    let head = AnswerHead {
        status: reply.status,
        headers: reply.fields,
        count: reply.count,
        body,
        is_head: asked.is_head,
        version: asked.version,
        // What follows has no bearing on a fault or on the framing.
        keep_alive: true,
        date: &[b' '; 29],
        server: b"",
    };
    let mut seen = Seen::default();
    let judged = each_field(reply.fields, reply.count, |name, value, field| {
        seen.notice(&head, name, value, field).map(drop)
    });
    match judged {
        Ok(()) => Ok(seen.framing(&head)),
        Err(fault) => Err(blame(reply.fields, reply.count, fault)),
    }
}

/// The fault that `encode_trailers` would find.
pub(crate) fn judge_trailers(fields: &[u8], count: usize) -> Result<(), HeadFault> {
    each_field(fields, count, |name, _, field| notice_trailer(name, field))
        .map_err(|fault| blame(fields, count, fault))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http1::encode::{encode_head, encode_trailers};

    fn fields() -> impl Strategy<Value = (Vec<u8>, usize)> {
        let name = prop_oneof![
            "[a-z]{1,8}",
            Just("content-length".to_owned()),
            Just("connection".to_owned()),
            Just("transfer-encoding".to_owned()),
            Just("bad name".to_owned()),
        ];
        let value = prop_oneof![
            "[ -~]{0,8}",
            "[0-9]{1,3}",
            Just("close".to_owned()),
            "[\n\r]{1,2}"
        ];
        let field = (name, value).prop_map(|(name, value)| format!("{name}:{value}\n"));
        (proptest::collection::vec(field, 0..5), 0_usize..2)
            .prop_map(|(fields, more)| (fields.concat().into_bytes(), fields.len() + more / 2))
    }

    proptest! {
        #[test]
        fn the_judge_and_the_encoder_agree(
            (fields, count) in fields(),
            status in 190_u16..400,
            length in prop_oneof![Just(None), (0_u64..200).prop_map(Some)],
            is_head: bool,
            is_old: bool,
        ) {
            let version = if is_old { Version::Http10 } else { Version::Http11 };
            let body = length.map_or(AnswerBody::Stream, AnswerBody::Whole);
            let reply = Reply { status, fields: &fields, count };
            let head = AnswerHead {
                status,
                headers: &fields,
                count,
                body,
                is_head,
                version,
                keep_alive: true,
                date: &[b'd'; 29],
                server: b"",
            };
            let written = encode_head(&mut Vec::new(), &head).map(|plan| plan.framing);
            prop_assert_eq!(judge_head(&reply, body, Asked { is_head, version }), written);
            prop_assert_eq!(judge_trailers(&fields, count), encode_trailers(&mut Vec::new(), &fields, count));
        }
    }
}
