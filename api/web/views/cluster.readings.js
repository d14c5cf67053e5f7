// What the answers of the members mean together. Nothing is asked or drawn here.
//
// A member's word about itself goes before another's word about it, and a higher term before a lower one. What nobody has said is null: a lag that
// only a leader knows, a rate before the second reading, a latency when nothing was answered.

const WAITING = /^\/(metrics|livez|readyz|api\/v1\/(cluster|events))/; // what looking at a cluster asks itself, and streams that stay open
const LINE = /^deskraft_http_request_seconds_(bucket|count)\{route="([^"]*)"(?:,le="([^"]*)")?\} (\d+)/gm;

/** Counters of `/metrics`: requests answered, and how many of them within each bound in seconds. */
export function counters(text) {
  const found = { count: 0, within: new Map() };
  for (const [, kind, route, bound, number] of text.matchAll(LINE)) {
    if (WAITING.test(route)) continue;
    const limit = bound === "+Inf" ? Infinity : Number(bound);
    if (kind === "count") found.count += Number(number);
    else found.within.set(limit, (found.within.get(limit) ?? 0) + Number(number));
  }
  return found;
}

/** Requests per second between two readings, and how long all but one in twenty of them took at most, in milliseconds. */
export function load(before, now, seconds) {
  const count = now.count - before.count;
  if (count < 0 || seconds <= 0) return { perSecond: null, milliseconds: null }; // the process is another one
  return { perSecond: count / seconds, milliseconds: count === 0 ? null : quantile(before, now, count, 0.95) };
}

/** Within the bucket that holds it, values are taken to be spread evenly, as Prometheus does. */
function quantile(before, now, count, share) {
  const rank = count * share;
  let [lower, below] = [0, 0];
  for (const [bound, total] of [...now.within].sort(([one], [other]) => one - other)) {
    const within = total - (before.within.get(bound) ?? 0);
    if (within >= rank) return 1000 * (bound === Infinity ? lower : lower + ((bound - lower) * (rank - below)) / (within - below));
    [lower, below] = [bound, within];
  }
  return 1000 * lower;
}

/** One picture of the cluster from what its members have answered: `answers` has the status of each that did, by its id. */
export function picture(answers) {
  const told = Object.values(answers);
  const newest = told.reduce((best, each) => (each.configuration_index > best.configuration_index ? each : best));
  const leader = told.filter((each) => each.role === "leader").sort((one, other) => other.term - one.term)[0] ?? null;
  const term = Math.max(...told.map((each) => each.term));
  const believed = told.filter((each) => each.term === term).map((each) => each.leader_id).find((each) => each !== null) ?? null;
  const leaderId = leader && leader.term === term ? leader.node_id : believed;
  const commit = Math.max(...told.map((each) => each.commit_index));
  const members = newest.members.map((seat) => member(seat, answers, told, leader, leaderId, commit));
  const voters = members.filter((each) => each.voter);
  const majority = Math.floor(voters.length / 2) + 1;
  const spare = voters.filter((each) => each.heard).length - majority; // how many more may fail
  const health = leaderId === null || spare < 0 ? "down" : members.some((each) => !each.heard) ? "worn" : "well";
  return { name: newest.cluster, configuration: newest.configuration_index, leaderId, term, commit, members, majority, spare, health };
}

function member(seat, answers, told, leader, leaderId, commit) {
  const self = answers[seat.id] ?? null;
  const seen = told.some((each) => each.members.some((other) => other.id === seat.id && other.reachable));
  const heard = self !== null || seen;
  const match = leader?.members.find((each) => each.id === seat.id)?.match_index ?? self?.applied_index ?? null;
  return {
    id: seat.id, api: seat.api, voter: seat.voter, heard,
    answers: self !== null,
    leads: heard && seat.id === leaderId,
    role: !heard ? "silent" : seat.id === leaderId ? "leader" : self?.role === "candidate" ? "candidate" : seat.voter ? "follower" : "learner",
    applied: self?.applied_index ?? null,
    lag: heard && match !== null ? Math.max(0, commit - match) : null,
  };
}

/** Whether two members hear each other, as far as either says; null when neither can be asked. */
export function linked(answers, one, other) {
  const hears = (from, to) => answers[from]?.members.find((each) => each.id === to)?.reachable ?? null;
  const said = [hears(one, other), hears(other, one)].filter((each) => each !== null);
  return said.length ? said.every(Boolean) : null;
}

/** "equal", "differ", or null when fewer than two could be compared. */
export function agreement(receipts) {
  const digests = receipts.filter((each) => each !== null).map((each) => each.digest);
  return digests.length < 2 ? null : new Set(digests).size === 1 ? "equal" : "differ";
}
