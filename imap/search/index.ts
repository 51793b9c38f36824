/** SEARCH: what is asked (parse.ts), what matches (evaluate.ts), and the answer (run.ts). */
export { parseSearch, type SearchPlan } from './parse.ts';
export { runSearch, type SearchRun } from './run.ts';
