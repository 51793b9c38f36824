/** Scores of different engines on one scale, for people: 0 to 100, at 50 the engine acts. */
import type { Finding } from '#store/model';

/** What SpamAssassin asks for unless told otherwise; for engines that do not say at how many points they act. */
const usualRequired = 5;
/** Microsoft's spam confidence level ends at 9. */
const highestLevel = 9;

type Scored = Pick<Finding, 'score' | 'scale' | 'required'>;

/**
 * A whole number from 0 to 100; undefined without a score. Points grow straight up to 50 at what is required, and from there
 * on towards 100: twice as many are 75, ten times as many 95.
 */
export function normalizedScore({ score, scale = 'points', required }: Scored): number | undefined {
  if (score === undefined || !Number.isFinite(score)) return undefined;
  switch (scale) {
    case 'probability':
      return within(score * 100);
    case 'percent':
      return within(score);
    case 'scl':
      return within((score / highestLevel) * 100);
    default:
      return within(ofPoints(score, required ?? usualRequired));
  }
}

/** For programs: the same finding with its score on the common scale, if it has one. */
export function withNormalized<T extends Scored>(finding: T): T & { readonly normalized?: number } {
  const normalized = normalizedScore(finding);
  return normalized === undefined ? finding : { ...finding, normalized };
}

function ofPoints(score: number, required: number): number {
  // At nought or below there is no way up to it: one point more or less counts as with the usual threshold.
  if (required <= 0) {
    const over = score - required;
    return over >= 0 ? 50 + (50 * over) / (over + usualRequired) : (50 * usualRequired) / (usualRequired - over);
  }
  if (score <= 0) return 0;
  return score < required ? (50 * score) / required : 100 - (50 * required) / score;
}

function within(value: number): number {
  return Math.round(Math.min(100, Math.max(0, value)));
}
