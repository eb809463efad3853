package vn.kieumau.app

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext
import vn.kieumau.core.*

/**
 * The one class that holds the generated object. Records may travel from here to the screens, handles may not: no screen
 * and no view model ever sees [Phone].
 *
 * Every suspend function runs off the caller's thread and returns when the record is on the disk; only [enrol],
 * [enrolByQr], [findServer], [sync], [follow], [download] and [deliverRescue] touch the network. Every flow gives what is on the disk now, and again whenever that may read
 * differently, after one's own writes as after a colleague's. All of them throw [PhoneException].
 */
class PhoneStore private constructor(private val phone: Phone, private val events: PhoneEvents) : AutoCloseable {
    private val oneSync = Mutex()

    /** Where the last sync is. */
    val sync: StateFlow<SyncState> = events.sync

    // ---- Who this phone is

    /** Who this phone is; null before enrolment. */
    fun profile(): Flow<Profile?> = seen { profile() }

    suspend fun enrol(serverUrl: String, code: String): Profile = record { enrol(serverUrl, code) }

    suspend fun enrolByQr(qr: String): Profile = record { enrolByQr(qr) }

    /** Takes the server's new address and TLS key from a new QR. */
    suspend fun findServer(qr: String): Profile = record { findServer(qr) }

    /** By how much the server's clock is ahead of this phone's, milliseconds; null before it told. */
    fun clockSkewMs(): Long? = phone.clockSkewMs()

    fun colleagues(): Flow<List<Colleague>> = seen { colleagues() }

    /** [colleagues] and those who left, for names in records. */
    fun knownPeople(): Flow<List<Colleague>> = seen { knownPeople() }

    /** The checkpoints of the unit, for [visitCheckpoint]. */
    fun checkpoints(): Flow<List<Checkpoint>> = seen { checkpoints() }

    /** [checkpoints] and removed ones, for names in records. */
    fun knownCheckpoints(): Flow<List<Checkpoint>> = seen { knownCheckpoints() }

    // ---- Patrols

    /** Every patrol on this phone, the latest first. */
    fun patrols(): Flow<List<PatrolSummary>> = seen { patrols() }

    fun patrol(id: DocumentId): Flow<PatrolView> = seen { patrol(id) }

    suspend fun startPatrol(new: NewPatrol): DocumentId = record { startPatrol(new) }

    suspend fun joinPatrol(qr: String): DocumentId = record { joinPatrol(qr) }

    suspend fun pause(patrol: DocumentId) = record { pause(patrol) }

    suspend fun resume(patrol: DocumentId) = record { resume(patrol) }

    suspend fun end(patrol: DocumentId) = record { end(patrol) }

    suspend fun handOver(patrol: DocumentId, to: PersonId, note: String): HandoverId =
        record { handOver(patrol, to, note) }

    suspend fun confirmHandover(patrol: DocumentId, handover: HandoverId) = record { confirmHandover(patrol, handover) }

    /** Null when the fix is on the disk; the reason when it was let go, which is no error. */
    suspend fun addFix(patrol: DocumentId, fix: Fix): Dropped? = record { addFix(patrol, fix) }

    suspend fun importTrack(patrol: DocumentId, path: String): TrackImport = record { importTrack(patrol, path) }

    suspend fun visitCheckpoint(patrol: DocumentId, checkpoint: CheckpointId, proof: String): VisitId =
        record { visitCheckpoint(patrol, checkpoint, proof) }

    /** The observations of a patrol, in the order of recording; withdrawn ones among them. */
    fun observations(patrol: DocumentId): Flow<List<ObservationView>> = seen { observations(patrol) }

    suspend fun addObservation(patrol: DocumentId, new: NewObservation): ObservationId =
        record { addObservation(patrol, new) }

    suspend fun editObservation(patrol: DocumentId, observation: ObservationId, new: NewObservation) =
        record { editObservation(patrol, observation, new) }

    // ---- What is not as it should be

    /** Damage that was ever found on this phone, oldest first: to be shown once, and kept for who repairs the phone. */
    fun damages(): Flow<List<Damage>> = seen { damages() }

    /** What of a document the server refused and what stands nowhere else, oldest first. */
    fun refused(document: DocumentId): Flow<List<Refused>> = seen { refused(document) }

    /** Writes what a refused change said once more. False if the document says it already. */
    suspend fun writeAgain(document: DocumentId, change: Sha256): Boolean = record { writeAgain(document, change) }

    // ---- Evidence and attachments

    fun evidence(): Flow<List<EvidenceFileView>> = seen { evidence() }

    /** The evidence kinds that a criterion still lacks in a period, by code. */
    fun missing(criterion: CriterionNumber, period: Period): Flow<List<String>> = seen { missing(criterion, period) }

    suspend fun fileEvidence(criterion: CriterionNumber, period: Period, new: NewEvidence): Filed =
        record { fileEvidence(criterion, period, new) }

    suspend fun editEvidence(document: DocumentId, evidence: EvidenceId, new: NewEvidence) =
        record { editEvidence(document, evidence, new) }

    /** Hangs the file at [path] on a document, or on its [item]; afterwards the file at [path] is no longer needed. */
    suspend fun attach(document: DocumentId, item: String?, path: String): Sha256 =
        record { attach(document, item, path) }

    fun attachment(sha256: Sha256): Flow<Attached> = seen { attachment(sha256) }

    /** Takes back a file that was attached by mistake: that it was attached stays, the file is no longer shown. */
    suspend fun withdrawAttachment(document: DocumentId, attachment: AttachmentId) =
        record { withdrawAttachment(document, attachment) }

    /** Brings a file whose copy is not on this phone, so that [viewable] can show it. */
    suspend fun download(sha256: Sha256): Attached = record { download(sha256) }

    /** A path where the file lies in the clear, to be shown now. [PhoneException.NotFound] until it is here: [download]. */
    suspend fun viewable(sha256: Sha256): String = apart { viewable(sha256) }

    /** A path where the small picture of a photo lies in the clear, to be shown now. */
    suspend fun preview(sha256: Sha256): String = apart { preview(sha256) }

    /** Deletes this phone's copies of files that the server's backups hold, if it has had them for [keepMs]. Returns what went. */
    suspend fun letGo(keepMs: Long): List<Sha256> = record { letGo(keepMs) }

    // ---- On the way to the server and back

    /** Every patrol and evidence file with where it is; only those in [state] if one is given. */
    fun items(state: ItemState? = null): Flow<List<Item>> = seen { items(state) }

    fun reviews(): Flow<List<Reviewed>> = seen { reviews() }

    fun clash(document: DocumentId): Flow<List<ClashView>> = seen { clash(document) }

    /** False if there is no clash there any more. */
    suspend fun choose(clash: ClashView, index: UInt): Boolean =
        record { choose(clash.document, clash.path, index) }

    /** Writes what the server has not signed for to a file at [path] that only the server can read. Needs no signal. */
    suspend fun exportRescue(path: String): RescueReport = record { exportRescue(path) }

    /** Hands in the rescue file at [path], one's own or a colleague's. */
    suspend fun deliverRescue(path: String): RescueTaken = apart { deliverRescue(path) }

    /** Sends what is unsent, fetches what is new, gets receipts. A second call waits for the first and goes after it. */
    suspend fun sync(options: SyncOptions? = null): SyncReport = oneSync.withLock {
        events.became(SyncState.Running())
        try {
            apart { sync(options) }.also { events.became(SyncState.Done(it)) }
        } catch (refused: PhoneException) {
            events.became(SyncState.Failed(refused))
            throw refused
        } catch (stopped: CancellationException) {
            events.became(SyncState.Idle)
            throw stopped
        }
    }

    /** While the app is looked at: syncs whenever the server has something new, until [unfollow]. */
    suspend fun follow(options: SyncOptions? = null) = apart { follow(options) }

    /** Ends [follow]. */
    fun unfollow() = phone.unfollow()

    /** Ends a sync that is under way; what arrived so far stays. */
    fun cancel() = phone.cancel()

    /** Frees the phone; its folder can then be opened again. */
    override fun close() = phone.close()

    // The core works on the thread that asks, so the asking is done apart from the caller's, which may be the screen's.
    private suspend fun <T> apart(call: suspend Phone.() -> T): T = withContext(Dispatchers.Default) { phone.call() }

    private suspend fun <T> record(call: suspend Phone.() -> T): T = apart(call).also { events.changed() }

    private fun <T> seen(read: suspend Phone.() -> T): Flow<T> =
        events.changes.map { phone.read() }.distinctUntilChanged().flowOn(Dispatchers.Default)

    companion object {
        /**
         * Opens the phone's database, or makes it. [PhoneException.Invalid] at `key` for a wrong key, at `database` for a damaged one, which
         * [salvage] opens, at `folder` while another store has it open: [close] that one first.
         */
        suspend fun open(config: PhoneConfig): PhoneStore = opened { Phone.open(config) }

        /**
         * Sets a damaged database aside, as it is, and opens a new one with all that can still be read of it. For [PhoneException.Invalid] at
         * `database`, whichever call said so: [close] first. What is lost is in [damages].
         */
        suspend fun salvage(config: PhoneConfig): PhoneStore = opened { Phone.salvage(config) }

        /** What the photo at [path] says about itself: where and when. */
        suspend fun photoFacts(path: String): PhotoFacts =
            withContext(Dispatchers.Default) { vn.kieumau.core.photoFacts(path) }

        private suspend fun opened(open: suspend () -> Phone): PhoneStore = withContext(Dispatchers.Default) {
            val events = PhoneEvents()
            val phone = open()
            phone.listen(events)
            PhoneStore(phone, events)
        }
    }
}
