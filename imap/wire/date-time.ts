/** RFC 3501 §9 `date` and `date-time`, both ways. Texts that name no real day or time are refused (undefined). */

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const names = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const dayMs = 86_400_000;

/** `1-Feb-2026` → days since 1970, without a time zone. */
export function parseDate(text: string): number | undefined {
  const match = /^([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})$/.exec(text);
  return match ? days(match[1]!, match[2]!, match[3]!) : undefined;
}

/** ` 1-Feb-2026 10:20:30 +0100` (what stands between the quotes). */
export function parseDateTime(text: string): Date | undefined {
  const match =
    /^( [0-9]|[0-9]{2})-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})$/.exec(
      text,
    );
  if (!match) return undefined;
  const day = days(match[1]!, match[2]!, match[3]!);
  const [hours, minutes, seconds] = [Number(match[4]), Number(match[5]), Number(match[6])];
  const [zoneHours, zoneMinutes] = [Number(match[8]), Number(match[9])];
  // 60 is a leap second; JavaScript's time has none, so it becomes the next second.
  if (day === undefined || hours > 23 || minutes > 59 || seconds > 60 || zoneHours > 23 || zoneMinutes > 59)
    return undefined;
  const zone = (zoneHours * 60 + zoneMinutes) * (match[7] === '-' ? -1 : 1);
  return new Date(day * dayMs + ((hours * 60 + minutes - zone) * 60 + seconds) * 1000);
}

/** INTERNALDATE as we show it: in UTC, without the quotes. */
export function formatDateTime(date: Date | number): string {
  const d = new Date(date);
  const two = (n: number) => `${n}`.padStart(2, '0');
  const day = `${d.getUTCDate()}`.padStart(2, ' ');
  const year = `${d.getUTCFullYear()}`.padStart(4, '0');
  const time = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  return `${day}-${names[d.getUTCMonth()]}-${year} ${time} +0000`;
}

function days(day: string, month: string, year: string): number | undefined {
  const m = months.indexOf(month.toLowerCase());
  const d = new Date(0);
  d.setUTCFullYear(Number(year), m, Number(day)); // Date.UTC would read the years 0 to 99 as 1900 to 1999
  if (m < 0 || d.getUTCMonth() !== m || d.getUTCDate() !== Number(day)) return undefined;
  return d.getTime() / dayMs;
}
