// Shows openapi.json as a page. Everything is written as text: nothing in the description becomes markup.
const make = (name, ...children) => {
  const element = document.createElement(name);
  element.append(...children);
  return element;
};

const nameOf = (reference) => reference.split('/').pop();

/** Says in one line what a schema is. */
const typeOf = (schema) => {
  if (schema === undefined) return '';
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.oneOf ?? schema.allOf) return (schema.oneOf ?? schema.allOf).map(typeOf).join(' | ');
  const type = [schema.type].flat().filter(Boolean).join(' | ');
  const bounds = Object.entries(schema)
    .filter(([key]) => /^(enum|format|pattern|m(in|ax).*)$/.test(key))
    .map(([key, value]) => `${key} ${[value].flat().join(', ')}`);
  const items = schema.items ? ` of ${typeOf(schema.items)}` : '';
  return `${type}${items}${bounds.length ? ` (${bounds.join('; ')})` : ''}`;
};

const table = (rows) => {
  const element = make('table');
  for (const [name, type, text] of rows) {
    element.append(make('tr', make('td', make('code', name)), make('td', type), make('td', text ?? '')));
  }
  return element;
};

const operation = (path, method, it) => {
  const title = make('span', method.toUpperCase());
  title.className = 'method';
  const details = make('details', make('summary', title, make('code', path), ` ${it.summary ?? ''}`));
  if (it.description) details.append(make('p', it.description));
  const parameters = (it.parameters ?? []).map((parameter) => [
    `${parameter.name}${parameter.required ? '' : '?'}`, `${parameter.in}: ${typeOf(parameter.schema)}`, parameter.description,
  ]);
  if (parameters.length > 0) details.append(table(parameters));
  const body = it.requestBody?.content?.['application/json']?.schema;
  if (body) details.append(make('p', `Body: ${typeOf(body)}`));
  const answers = Object.entries(it.responses).map(([status, answer]) => {
    const schema = Object.values(answer.content ?? {})[0]?.schema;
    return [status, typeOf(schema), answer.description];
  });
  details.append(table(answers));
  return details;
};

const schema = (name, it) => {
  const details = make('details', make('summary', make('code', name), ` ${it.description ?? ''}`));
  const required = new Set(it.required);
  const rows = Object.entries(it.properties ?? {}).map(([field, of]) => [
    `${field}${required.has(field) ? '' : '?'}`, typeOf(of), of.description,
  ]);
  details.append(rows.length > 0 ? table(rows) : make('p', typeOf(it)));
  if (it.allOf) details.append(make('pre', JSON.stringify(it.allOf, null, 2)));
  return details;
};

const show = async () => {
  const api = await (await fetch('/api/v1/openapi.json')).json();
  document.querySelector('#about').textContent = api.info.description;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, it] of Object.entries(methods)) {
      document.querySelector('#operations').append(operation(`/api/v1${path}`, method, it));
    }
  }
  for (const [name, it] of Object.entries(api.components.schemas)) {
    document.querySelector('#schemas').append(schema(name, it));
  }
};

show();
