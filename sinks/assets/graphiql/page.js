"use strict";

const payments = `# The newest payments, accepted and refused.
query Payments {
  payments(first: 10) {
    nodes {
      id
      time
      operation
      status
      rejectReason
      amount { amount currency }
      debitAccountId
      creditAccountId
      riskDecision
      riskRule
    }
    pageInfo { hasNextPage endCursor }
  }
}
`;

const statement = `# Accounts with their balances and their latest payments.
# One account alone: account(id: "…") { … }
query Statement {
  accounts(first: 3) {
    nodes {
      id
      currency
      state
      balances {
        debitsPosted { amount }
        creditsPosted { amount }
        debitsPending { amount }
      }
      payments(first: 5) {
        nodes {
          time
          status
          amount { amount currency }
          debitAccountId
          creditAccountId
        }
      }
    }
  }
}
`;

const payment = `# One payment with what became of it. Put an id in the variables below.
query Payment($id: UUID!) {
  payment(id: $id) {
    seq
    time
    operation
    status
    rejectReason
    requestedAmount { amount currency }
    amount { amount currency }
    holdState
    remainingAmount { amount }
    capturedAmount { amount }
    refundedAmount { amount }
    debitBalances { debitsPosted { amount } creditsPosted { amount } }
    original { id operation amount { amount } }
    context { channel countryCode merchantCategoryCode reference }
  }
}
`;

const history = `# Balances after each event, of accounts opened with the flag KEEPS_HISTORY (others: null),
# and holds that timed out.
query History {
  accounts(first: 3) {
    nodes {
      id
      balanceHistory(first: 5) {
        nodes {
          time
          change
          paymentId
          balances {
            debitsPosted { amount currency }
            creditsPosted { amount }
            debitsPending { amount }
          }
        }
      }
    }
  }
  timedOutHolds(first: 5) {
    nodes {
      time
      holdId
      debitAccountId
      creditAccountId
      releasedAmount { amount currency }
    }
  }
}
`;

const status = `# How far the read model is, and whether money is conserved.
query Status {
  status { appliedSeq appliedTime }
  conservation {
    debitsPosted { amount currency }
    creditsPosted { amount currency }
    debitsPending { amount }
    creditsPending { amount }
    holds
  }
}
`;

const noId = JSON.stringify({ id: "00000000-0000-0000-0000-000000000000" }, null, 2);

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "/graphql" }),
    defaultEditorToolsVisibility: true,
    defaultTabs: [
      { query: payments },
      { query: statement },
      { query: payment, variables: noId },
      { query: history },
      { query: status },
    ],
  }),
);
