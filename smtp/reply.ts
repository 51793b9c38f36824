/**
 * Named pairs of code and enhanced code (RFC 5321 §4.2, RFC 3463). A pair that stands here once cannot be wrong in one
 * place only.
 */
import type { Reply } from './receiver.ts';

export const replies = {
  kept: { code: 250, enhanced: '2.0.0', text: 'Ok: kept' },
  notAllowed: { code: 554, enhanced: '5.7.1', text: 'This client may not hand mail over here' },
  tooLarge: { code: 552, enhanced: '5.3.4', text: 'The message is larger than this server takes' },
  tryLater: { code: 451, enhanced: '4.3.0', text: 'Not kept because of a local problem, please try again later' },
  noSpace: { code: 452, enhanced: '4.3.1', text: 'Not kept for lack of space, please try again later' },
} as const satisfies Record<string, Reply>;

/** The reply with other words. */
export function saying(reply: Reply, text: string): Reply {
  return { ...reply, text };
}
