//! A Millrace that decides by simple rules and loses streams when told to: consumes the requests of
//! a test, remembers what arrived.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use millrace_client::Connection;
use millrace_protos::v1::{
    AccountOutcome, AccountStatus, CapturePaymentRequest, CapturePaymentResponse,
    CreateAccountsRequest, CreateAccountsResponse, GetAccountsRequest, GetAccountsResponse,
    GetPaymentRequest, GetPaymentResponse, NewAccount, Operation, Payment, PaymentOutcome,
    PaymentStatus, RefundPaymentRequest, RefundPaymentResponse, RejectReason,
    StreamPaymentsRequest, StreamPaymentsResponse, SubmitPaymentRequest, SubmitPaymentResponse,
    SubmitPaymentsRequest, SubmitPaymentsResponse, UpdateAccountRequest, UpdateAccountResponse,
    VoidPaymentRequest, VoidPaymentResponse,
    account_service_server::{AccountService, AccountServiceServer},
    payment_service_server::{PaymentService, PaymentServiceServer},
    update_account_request::Change,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// How a stream ends early.
#[derive(Clone, Debug)]
pub(crate) enum Loss {
    /// With this status.
    Status(Status),
    /// Without a status, as a proxy does that shuts down.
    Ends,
    /// Not at all: answers stop.
    Silence,
    /// The answer has one outcome too few.
    ShortAnswer,
}

/// A stream that is lost after so many answers.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) after_answers: usize,
    /// Whether the request after them is still decided, so that only its answer is lost.
    pub(crate) decides_one_more: bool,
    pub(crate) loss: Loss,
}

/// What arrived, and what is to go wrong.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) outcomes: HashMap<u128, PaymentOutcome>,
    pub(crate) payments: HashMap<u128, Payment>,
    /// Ids in the order in which they arrived for the first time.
    pub(crate) first_arrivals: Vec<u128>,
    pub(crate) request_lengths: Vec<usize>,
    pub(crate) accounts: HashMap<Vec<u8>, NewAccount>,
    pub(crate) changes: HashMap<Vec<u8>, Change>,
    /// One per stream, in order; the streams after them are sound.
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) streams: usize,
}

impl Fake {
    fn decide(&mut self, payment: &Payment) -> PaymentOutcome {
        let id = payment.payment_id;
        if let Some(first) = self.outcomes.get(&id) {
            if self.payments[&id].amount_minor == payment.amount_minor {
                return PaymentOutcome { replayed: true, ..first.clone() };
            }
            return rejected(id, RejectReason::IdReusedAmountDiffers);
        }
        let outcome = match Operation::try_from(payment.operation) {
            Ok(Operation::Authorize) => with_status(payment, PaymentStatus::Held),
            Ok(Operation::Void) => with_status(payment, PaymentStatus::Voided),
            _ if payment.amount_minor == Some(1_300) => {
                rejected(id, RejectReason::InsufficientFunds)
            }
            _ => with_status(payment, PaymentStatus::Settled),
        };
        self.first_arrivals.push(id);
        self.payments.insert(id, payment.clone());
        self.outcomes.insert(id, outcome.clone());
        outcome
    }

    fn decide_all(&mut self, payments: &[Payment]) -> Vec<PaymentOutcome> {
        self.request_lengths.push(payments.len());
        payments.iter().map(|payment| self.decide(payment)).collect()
    }
}

fn with_status(payment: &Payment, status: PaymentStatus) -> PaymentOutcome {
    PaymentOutcome {
        payment_id: payment.payment_id,
        status: status as i32,
        amount_minor: payment.amount_minor.unwrap_or(77),
        ..PaymentOutcome::default()
    }
}

fn rejected(payment_id: u128, reason: RejectReason) -> PaymentOutcome {
    PaymentOutcome {
        payment_id,
        status: PaymentStatus::Rejected as i32,
        reject_reason: reason as i32,
        ..PaymentOutcome::default()
    }
}

/// The fake behind its services.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Fake>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Fake> {
        self.0.lock().expect("no test panics with it")
    }

    /// Serves on a free port for as long as the test lasts.
    pub(crate) async fn serve(&self) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("is bound");
        tokio::spawn(self.clone().accept(listener));
        connect(address).await
    }

    /// Serves in a runtime of its own; dropping that cuts every connection off. A server that was
    /// shut down in the background may hold its port for a moment.
    pub(crate) fn serve_apart(&self, address: SocketAddr) -> (SocketAddr, Runtime) {
        let runtime = Runtime::new().expect("a runtime");
        let patience = Instant::now() + Duration::from_secs(120);
        let listener = loop {
            match runtime.block_on(TcpListener::bind(address)) {
                Ok(listener) => break listener,
                Err(error) if Instant::now() > patience => panic!("the port is not free: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let address = listener.local_addr().expect("is bound");
        runtime.spawn(self.clone().accept(listener));
        (address, runtime)
    }

    async fn accept(self, listener: TcpListener) {
        Server::builder()
            .add_service(PaymentServiceServer::new(self.clone()))
            .add_service(AccountServiceServer::new(self))
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await
            .expect("serves");
    }

    async fn answer_stream(
        self,
        mut requests: Streaming<StreamPaymentsRequest>,
        answers: mpsc::Sender<Result<StreamPaymentsResponse, Status>>,
    ) {
        let fault = {
            let mut fake = self.lock();
            fake.streams += 1;
            fake.faults.pop_front()
        };
        let mut answered = 0;
        while let Ok(Some(request)) = requests.message().await {
            if let Some(fault) = fault.as_ref().filter(|fault| fault.after_answers == answered) {
                return self.lose(fault, &request, &mut requests, &answers).await;
            }
            let outcomes = self.lock().decide_all(&request.payments);
            if answers.send(Ok(StreamPaymentsResponse { outcomes })).await.is_err() {
                return;
            }
            answered += 1;
        }
    }

    async fn lose(
        &self,
        fault: &Fault,
        request: &StreamPaymentsRequest,
        requests: &mut Streaming<StreamPaymentsRequest>,
        answers: &mpsc::Sender<Result<StreamPaymentsResponse, Status>>,
    ) {
        if fault.decides_one_more {
            self.lock().decide_all(&request.payments);
        }
        match &fault.loss {
            Loss::Ends => {}
            Loss::Status(status) => {
                let _ = answers.send(Err(status.clone())).await;
            }
            Loss::Silence => while let Ok(Some(_)) = requests.message().await {},
            Loss::ShortAnswer => {
                let mut outcomes = self.lock().decide_all(&request.payments);
                outcomes.pop();
                let _ = answers.send(Ok(StreamPaymentsResponse { outcomes })).await;
            }
        }
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Connection {
    Connection::open(&format!("http://{address}")).await.expect("the fake listens")
}

#[tonic::async_trait]
impl PaymentService for Shared {
    type StreamPaymentsStream = ReceiverStream<Result<StreamPaymentsResponse, Status>>;

    async fn stream_payments(
        &self,
        request: Request<Streaming<StreamPaymentsRequest>>,
    ) -> Result<Response<Self::StreamPaymentsStream>, Status> {
        let (answers, outbound) = mpsc::channel(1);
        tokio::spawn(self.clone().answer_stream(request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn submit_payments(
        &self,
        request: Request<SubmitPaymentsRequest>,
    ) -> Result<Response<SubmitPaymentsResponse>, Status> {
        let outcomes = self.lock().decide_all(&request.into_inner().payments);
        Ok(Response::new(SubmitPaymentsResponse { outcomes }))
    }

    async fn submit_payment(
        &self,
        _: Request<SubmitPaymentRequest>,
    ) -> Result<Response<SubmitPaymentResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn capture_payment(
        &self,
        _: Request<CapturePaymentRequest>,
    ) -> Result<Response<CapturePaymentResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn void_payment(
        &self,
        _: Request<VoidPaymentRequest>,
    ) -> Result<Response<VoidPaymentResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn refund_payment(
        &self,
        _: Request<RefundPaymentRequest>,
    ) -> Result<Response<RefundPaymentResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_payment(
        &self,
        _: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl AccountService for Shared {
    async fn create_accounts(
        &self,
        request: Request<CreateAccountsRequest>,
    ) -> Result<Response<CreateAccountsResponse>, Status> {
        let mut fake = self.lock();
        let outcomes = request.into_inner().accounts.into_iter().map(|account| {
            let account_id = account.account_id.clone();
            let status = match fake.accounts.insert(account_id.to_vec(), account) {
                None => AccountStatus::Created,
                Some(_) => AccountStatus::Unchanged,
            };
            AccountOutcome { account_id, status: status as i32, ..AccountOutcome::default() }
        });
        let outcomes = outcomes.collect();
        Ok(Response::new(CreateAccountsResponse { outcomes }))
    }

    async fn update_account(
        &self,
        request: Request<UpdateAccountRequest>,
    ) -> Result<Response<UpdateAccountResponse>, Status> {
        let UpdateAccountRequest { account_id, change, .. } = request.into_inner();
        let change = change.ok_or_else(|| Status::invalid_argument("no change"))?;
        let status = match self.lock().changes.insert(account_id.to_vec(), change) {
            Some(before) if before == change => AccountStatus::Unchanged,
            _ => AccountStatus::Updated,
        };
        let outcome =
            AccountOutcome { account_id, status: status as i32, ..AccountOutcome::default() };
        Ok(Response::new(UpdateAccountResponse { outcome: Some(outcome) }))
    }

    async fn get_accounts(
        &self,
        _: Request<GetAccountsRequest>,
    ) -> Result<Response<GetAccountsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
