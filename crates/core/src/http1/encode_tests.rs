use super::*;

#[test]
#[ignore = "prints a time; run it alone, in release"]
fn time_of_an_answer_head_with_one_field() {
    let head = AnswerHead {
        status: 200,
        headers: b"content-type:text/plain; charset=utf-8\n",
        count: 1,
        body: AnswerBody::Whole(13),
        is_head: false,
        version: Version::Http11,
        keep_alive: true,
        date: b"Sun, 06 Nov 1994 08:49:37 GMT",
        server: b"",
    };
    let mut out = Vec::with_capacity(65536);
    let mut best = u128::MAX;
    for _ in 0..20 {
        let start = std::time::Instant::now();
        for _ in 0..100_000 {
            out.clear();
            let plan = encode_head(&mut out, std::hint::black_box(&head));
            assert!(std::hint::black_box(plan).is_ok());
        }
        best = best.min(start.elapsed().as_nanos() / 100_000);
    }
    println!("1 field: {best} ns");
}
