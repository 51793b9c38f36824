/** FETCH: what is asked (parse.ts) and its answers (run.ts). */
export { type FetchPlan, parseFetch } from './parse.ts';
export { type FetchRun, runFetch } from './run.ts';
