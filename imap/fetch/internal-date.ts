/** INTERNALDATE (RFC 3501 §9 `date-time`), in UTC. Neighbours mostly share a day: its text is made once. */
import { formatDateTime } from '../wire/date-time.ts';

const DAY_MS = 86_400_000;

export class InternalDates {
  private readonly bytes = Buffer.from('" 1-Jan-1970 00:00:00 +0000"');
  private day = 0;

  /** With its quotes. Good until the next call. */
  quoted(ms: number): Uint8Array {
    const seconds = Math.floor(ms / 1000);
    const day = Math.floor(seconds / 86_400);
    if (day !== this.day) {
      this.bytes.write(
        formatDateTime(day * DAY_MS)
          .padStart(26)
          .slice(0, 26),
        1,
        'latin1',
      );
      this.day = day;
    }
    const second = seconds - day * 86_400;
    this.two(13, Math.floor(second / 3600));
    this.two(16, Math.floor(second / 60) % 60);
    this.two(19, second % 60);
    return this.bytes;
  }

  private two(at: number, value: number): void {
    const tens = (value / 10) | 0;
    this.bytes[at] = 48 + tens;
    this.bytes[at + 1] = 48 + value - tens * 10;
  }
}
