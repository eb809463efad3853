package vn.kieumau.app

import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import vn.kieumau.core.Event
import vn.kieumau.core.Listener
import vn.kieumau.core.PhoneException
import vn.kieumau.core.SyncReport

/** Where the last sync is. A screen words it; nothing here does. */
sealed interface SyncState {
    /** None since the app began, or the last one was stopped. */
    data object Idle : SyncState

    /** One is under way; [file] is the file whose bytes were last counted. */
    data class Running(val file: Event.Progress? = null) : SyncState

    /** The last one came to its end. */
    data class Done(val report: SyncReport) : SyncState

    /** The last one did not; what is recorded is safe. */
    data class Failed(val error: PhoneException) : SyncState
}

/**
 * What the core tells while things happen, as flows. It holds no phone: the core holds it, and a ring of the two would
 * never be freed. It is called on a thread of the core's, so it takes note and returns.
 */
internal class PhoneEvents : Listener {
    private val changeCount = MutableStateFlow(0L)
    private val syncState = MutableStateFlow<SyncState>(SyncState.Idle)

    /** A new number whenever something on the disk may read differently. */
    val changes: StateFlow<Long> = changeCount.asStateFlow()

    /** Where the last sync is. */
    val sync: StateFlow<SyncState> = syncState.asStateFlow()

    override fun onEvent(event: Event) {
        when (event) {
            is Event.Changed, Event.State -> changed()
            is Event.Progress -> syncState.update { if (it is SyncState.Running) SyncState.Running(event) else it }
        }
    }

    fun changed() = changeCount.update { it + 1 }

    fun became(state: SyncState) {
        syncState.value = state
    }
}
