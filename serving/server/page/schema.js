// JSON Schema in words and by example.

/** Reads the schemas of one OpenAPI document. */
export class Schemas {
  constructor(components) {
    this.known = components?.schemas ?? {};
  }

  /** What a reference stands for; of several kinds, the one that is not null. */
  resolve(schema) {
    let found = schema ?? {};
    while (found.$ref) found = this.known[found.$ref.split("/").pop()] ?? {};
    const kinds = (found.anyOf ?? []).filter((one) => one.type !== "null");
    return kinds.length === 1 ? { ...this.resolve(kinds[0]), ...without(found, "anyOf") } : found;
  }

  /** "list of text", "text or number", ... */
  type(schema) {
    const found = this.resolve(schema);
    const values = found.enum ?? (found.const === undefined ? [] : [found.const]);
    if (values.length) return values.map((one) => JSON.stringify(one)).join(" or ");
    if (found.anyOf) return [...new Set(found.anyOf.map((one) => this.type(one)))].join(" or ");
    if (found.type === "array") return `list of ${this.type(found.items)}`;
    if (found.type === "object" && found.additionalProperties?.type !== undefined)
      return `object of ${this.type(found.additionalProperties)}`;
    return { string: "text", null: "nothing", boolean: "true or false" }[found.type] ?? found.type ?? "anything";
  }

  /** What bounds a value, and what it is by default. */
  limits(schema) {
    const found = this.resolve(schema), said = [];
    for (const [low, high, unit] of LIMITS) said.push(between(found[low], found[high], unit));
    if (found.default !== undefined && found.default !== null) said.push(`default ${JSON.stringify(found.default)}`);
    return said.filter(Boolean).join("; ");
  }

  /** Fields of an object, and of those inside it: {name, type, limits, description, required}. */
  fields(schema, before = "", depth = 0) {
    const found = this.resolve(schema);
    if (found.type === "array") return this.fields(found.items, `${before}[]`, depth);
    if (!found.properties || depth > 4) return [];
    return Object.entries(found.properties).flatMap(([key, one]) => {
      const name = before ? `${before}.${key}` : key, required = found.required?.includes(key) ?? false;
      const { description } = one, type = this.type(one), limits = this.limits(one);
      return [{ name, type, limits, description, required }, ...this.fields(one, name, depth + 1)];
    });
  }

  /** A value that fits: what must be given, and what tells something. */
  example(schema, name = "", depth = 0) {
    const found = this.resolve(schema);
    if (found.examples) return found.examples[0];
    if (found.default !== undefined && found.default !== null) return found.default;
    if (found.enum ?? found.const) return found.enum?.[0] ?? found.const;
    if (found.anyOf) return this.example(found.anyOf[0], name, depth);
    if (found.properties && depth < 5) {
      const must = ([key, one]) => found.required?.includes(key) || filled(one);
      const some = Object.entries(found.properties).filter(must);
      return Object.fromEntries(some.map(([key, one]) => [key, this.example(one, key, depth + 1)]));
    }
    if (found.type === "array") return [this.example(found.items, name, depth + 1)];
    if (found.type === "object" || found.type === undefined) return {};
    if (found.type === "string") return name || "text";
    return found.type === "boolean" ? false : (found.minimum ?? 1);
  }
}

const LIMITS = [
  ["minimum", "maximum", ""], ["minLength", "maxLength", " characters"], ["minItems", "maxItems", " of them"],
];

function between(low, high, unit) {
  if (low === undefined && high === undefined) return "";
  if (high === undefined) return `at least ${shown(low)}${unit}`;
  return low === undefined ? `at most ${shown(high)}${unit}` : `${shown(low)} to ${shown(high)}${unit}`;
}

/** What makes an example tell more; an empty list or object would only fill it. */
const filled = ({ default: value, examples }) => typeof value === "number" || examples !== undefined;

const sign = (limit) => (limit < 0 ? "−" : "");
const shown = (limit) => (Math.abs(limit) < 2 ** 53 ? limit : `${sign(limit)}2^${Math.log2(Math.abs(limit))}`);

function without(schema, name) {
  const { [name]: _, ...others } = schema;
  return others;
}
