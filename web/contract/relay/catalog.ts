// A list of products that grows, what one of them shows, and how they are added,
// renamed and removed; the orders of customers.
import {ConnectionHandler, graphql} from 'relay-runtime';
import type {RecordSourceSelectorProxy, SelectorStoreUpdater} from 'relay-runtime';
import type {catalogAddMutation$data} from './__generated__/catalogAddMutation.graphql';
import type {catalogCard$data} from './__generated__/catalogCard.graphql';

export const signIn = graphql`
  mutation catalogSignInMutation($input: SignInInput!) {
    signIn(input: $input) { session { accessToken } userErrors { code } }
  }
`;

export const query = graphql`
  query catalogQuery($first: Int!) {
    viewer { role tenant { id name } }
    ...catalogProducts @arguments(first: $first)
  }
`;

export const products = graphql`
  fragment catalogProducts on Query
  @argumentDefinitions(
    first: {type: "Int", defaultValue: 20}
    after: {type: "String"}
    filter: {type: "ProductFilter"}
  )
  @refetchable(queryName: "catalogProductsQuery") {
    products(first: $first, after: $after, filter: $filter)
    @connection(key: "catalog__products", filters: ["filter"]) {
      edges { node { id ...catalogCard } }
    }
  }
`;

export const card = graphql`
  fragment catalogCard on Product
  @argumentDefinitions(withCategory: {type: "Boolean", defaultValue: false})
  @refetchable(queryName: "catalogCardQuery") {
    name
    price { amount currencyCode }
    version
    createdAt
    category @include(if: $withCategory) { name }
  }
`;

export const orders = graphql`
  fragment catalogOrders on Customer
  @argumentDefinitions(first: {type: "Int", defaultValue: 1}, after: {type: "String"})
  @refetchable(queryName: "catalogOrdersQuery") {
    orders(first: $first, after: $after) @connection(key: "catalog__orders") {
      edges { node { id status items { quantity } } }
    }
  }
`;

export const customers = graphql`
  query catalogCustomersQuery {
    customers(first: 20) { edges { node { id ordersCount ...catalogOrders } } }
  }
`;

export const add = graphql`
  mutation catalogAddMutation($input: CreateProductInput!) {
    createProduct(input: $input) {
      product { id ...catalogCard }
      userErrors { field code message }
    }
  }
`;

export const rename = graphql`
  mutation catalogRenameMutation($input: UpdateProductInput!) {
    updateProduct(input: $input) {
      product { ...catalogCard }
      userErrors { field code message }
    }
  }
`;

export const remove = graphql`
  mutation catalogRemoveMutation($input: DeleteProductInput!) {
    deleteProduct(input: $input) {
      product { id @deleteRecord }
      userErrors { field code message }
    }
  }
`;

// addFirst puts a product that was added in front of the list. One that was refused is
// null, and the list stays.
export const addFirst: SelectorStoreUpdater<catalogAddMutation$data> = (store: RecordSourceSelectorProxy) => {
  const product = store.getRootField('createProduct')?.getLinkedRecord('product');
  const list = ConnectionHandler.getConnection(store.getRoot(), 'catalog__products');
  if (!product || !list) return;
  ConnectionHandler.insertEdgeBefore(list, ConnectionHandler.createEdge(store, list, product, 'ProductEdge'));
};

// line is a card as it is shown.
export const line = ({name, price}: catalogCard$data): string => `${name}: ${price.amount} ${price.currencyCode}`;
