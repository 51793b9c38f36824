/** The day of a Date field as the sender wrote it: RFC 3501 §6.4.4 compares SENTON and its like regardless of time and zone. */

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** Days since 1970; undefined if it names no day. Years of two and three digits: RFC 5322 §4.3. */
export function sentDay(value: string): number | undefined {
  const match = /(?:^|[\s,])(\d{1,2})[\s-]{1,4}([A-Za-z]{3})[A-Za-z]{0,6}[\s.-]{1,4}(\d{2,4})(?=\s|$)/.exec(
    value.slice(0, 200),
  );
  if (!match) return undefined;
  const month = MONTHS.indexOf(match[2]!.toLowerCase());
  const day = Number(match[1]);
  const digits = match[3]!;
  let year = Number(digits);
  if (digits.length === 2) year += year < 50 ? 2000 : 1900;
  else if (digits.length === 3) year += 1900;
  const date = new Date(Date.UTC(year, month, day));
  if (month < 0 || date.getUTCMonth() !== month || date.getUTCDate() !== day) return undefined;
  return Math.floor(date.getTime() / 86_400_000);
}
