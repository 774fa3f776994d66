// What is chosen on the page, and who wants to know when it changes.

/** user: null for an anonymous visitor. likes: "feature=value". liked: titles by item id. filters: values by name.
 *  features, context: what was typed, by name. kind: of the events that are posted. taken: the latest of them. */
export const choice = {
  user: null, likes: [], liked: {}, filters: {}, features: {}, context: {}, k: 10, relevance: null, kind: null,
  taken: null,
};

const changes = new EventTarget();

/** Changes some of it. */
export function choose(some) {
  Object.assign(choice, some);
  changes.dispatchEvent(new CustomEvent("change", { detail: Object.keys(some) }));
}

/** Calls with the names of what has changed. */
export const onChoice = (call) => changes.addEventListener("change", (event) => call(event.detail));

/** The body that asks for a list of it. */
export function asked() {
  const { user, likes, liked, filters, features, context, k, relevance } = choice;
  const body = { k, filters, features, context, explain: true, shown: false };
  if (relevance !== null) body.relevance = relevance;
  return user === null ? { ...body, likes: [...likes, ...Object.keys(liked)] } : { ...body, user };
}
