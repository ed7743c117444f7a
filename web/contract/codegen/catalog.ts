// What a front end shows of the products, how it adds one, and how its users come in.
import {graphql, useFragment} from './gql/index.js';
import type {AddProductMutation, CatalogQuery} from './gql/graphql.js';

export const signIn = graphql(`
  mutation SignIn($input: SignInInput!) {
    signIn(input: $input) {
      session { accessToken expiresAt }
      userErrors { code message }
    }
  }
`);

export const productCard = graphql(`
  fragment ProductCard on Product {
    id
    sku
    name
    price { amount currencyCode }
    createdAt
  }
`);

export const catalogQuery = graphql(`
  query Catalog($first: Int!, $after: String, $filter: ProductFilter) {
    products(first: $first, after: $after, filter: $filter) {
      edges { cursor node { ...ProductCard } }
      pageInfo { hasNextPage endCursor }
    }
  }
`);

export const thingQuery = graphql(`
  query Thing($id: ID!) {
    node(id: $id) {
      __typename
      ...ProductCard
      ... on Category { name }
    }
  }
`);

export const addProduct = graphql(`
  mutation AddProduct($input: CreateProductInput!) {
    createProduct(input: $input) {
      product { ...ProductCard }
      userErrors { field code message }
    }
  }
`);

// cards is a page as it is shown: every line is "name: price".
export function cards(page: CatalogQuery): string[] {
  return page.products.edges.map(({node}) => {
    const {name, price} = useFragment(productCard, node);
    return `${name}: ${price.amount} ${price.currencyCode}`;
  });
}

// outcome is what the person who added a product is told.
export function outcome({createProduct}: AddProductMutation): string {
  const product = useFragment(productCard, createProduct.product);
  if (product) return `added ${product.sku}`;
  return createProduct.userErrors.map(e => `${e.field?.at(-1) ?? 'input'}: ${e.code}`).join(', ');
}
