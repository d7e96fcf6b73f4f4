//! The time a line is written, in UTC with milliseconds; its second is rendered once for all lines of that second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::line::push_padded;

#[derive(Default)]
pub struct Stamp {
    second: u64,
    /// `2026-04-20T06:19:53.`
    text: Vec<u8>,
}

impl Stamp {
    /// Writes the time, `2026-04-20T06:19:53.716Z`.
    pub fn push(&mut self, out: &mut Vec<u8>, at: SystemTime) {
        // A clock before 1970 is not set yet.
        let at = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        if self.second != at.as_secs() || self.text.is_empty() {
            self.second = at.as_secs();
            self.text.clear();
            push_second(&mut self.text, self.second);
        }
        out.extend_from_slice(&self.text);
        push_padded(out, at.subsec_millis().into(), 3);
        out.push(b'Z');
    }
}

fn push_second(out: &mut Vec<u8>, second: u64) {
    let (day, time) = (second / 86_400, second % 86_400);
    let (year, month, day) = civil(day);
    for (number, digits, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (time / 3600, 2, b':'),
        (time / 60 % 60, 2, b':'),
        (time % 60, 2, b'.'),
    ] {
        push_padded(out, number, digits);
        out.push(after);
    }
}

/// Year, month and day of a day since 1970 in the Gregorian calendar, by years that begin in March, so that the leap day
/// is a year's last.
fn civil(day: u64) -> (u64, u64, u64) {
    // 0000-03-01 is 719,468 days before 1970; 400 years have 146,097 days.
    let since = day + 719_468;
    let (era, of_era) = (since / 146_097, since % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(millis: u64) -> String {
        let mut out = Vec::new();
        let at = UNIX_EPOCH + Duration::from_millis(millis);
        Stamp::default().push(&mut out, at);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_time_is_as_the_log_has_it() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_776_665_993_716, "2026-04-20T06:19:53.716Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(written(millis), text);
        }
    }

    #[test]
    fn a_second_that_is_over_is_not_repeated() {
        let (mut stamp, mut out) = (Stamp::default(), Vec::new());
        for millis in [1_999, 2_000, 2_001] {
            stamp.push(&mut out, UNIX_EPOCH + Duration::from_millis(millis));
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "1970-01-01T00:00:01.999Z1970-01-01T00:00:02.000Z1970-01-01T00:00:02.001Z"
        );
    }

    proptest! {
        #[test]
        fn dates_agree_with_those_of_http(second in 0u64..10_000_000_000) {
            let at = UNIX_EPOCH + Duration::from_secs(second);
            let http = httpdate::fmt_http_date(at);
            let mut text = Vec::new();
            push_second(&mut text, second);
            let text = String::from_utf8(text).unwrap();
            // "Sun, 06 Nov 1994 08:49:37 GMT" has day, year and time in other places.
            prop_assert_eq!(&text[..4], &http[12..16]);
            prop_assert_eq!(&text[8..10], &http[5..7]);
            prop_assert_eq!(&text[11..19], &http[17..25]);
            let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
            let month = months.find(&http[8..11]).unwrap() / 3 + 1;
            prop_assert_eq!(&text[5..7], format!("{month:02}"));
        }
    }
}
